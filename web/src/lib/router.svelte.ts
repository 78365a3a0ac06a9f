import { parse, type Route } from './routes';

/** The page that is looked at. */
class Router {
  route = $state.raw<Route>(parse(location.hash));

  constructor() {
    addEventListener('hashchange', () => {
      this.route = parse(location.hash);
    });
  }

  /** Changes the address without a new entry in the history: for filters that are typed. */
  replace(hash: string): void {
    if (hash === location.hash) return;
    history.replaceState(null, '', hash);
    this.route = parse(hash);
  }
}

export const router = new Router();
