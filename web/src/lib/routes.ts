/** Addresses of pages: `#/services/users?x=y`. Everything that can be looked at has one. */

export interface Route {
  /** Name of the page. */
  page: string;
  /** What is looked at on it. */
  arg: string;
  query: Record<string, string>;
}

export interface Page {
  page: string;
  title: string;
  /** Pressed after `g`. */
  key: string;
  icon: string;
}

/** Pages of the navigation, in its order. Icons are paths in a box of 20 by 20. */
export const PAGES: readonly Page[] = [
  { page: 'overview', title: 'Overview', key: 'o', icon: 'M3 3h6v6H3zM11 3h6v6h-6zM3 11h6v6H3zM11 11h6v6h-6z' },
  { page: 'map', title: 'Map', key: 'm', icon: 'M3 4h5v4H3zM12 12h5v4h-5zM12 4h5v4h-5zM8 6h4M14.5 8v4M6 8v6h6' },
  { page: 'logs', title: 'Logs', key: 'l', icon: 'M3 5h14M3 10h10M3 15h12' },
  { page: 'gateway', title: 'Gateway', key: 'g', icon: 'M3 10h5l3-5h6M8 10l3 5h6' },
  { page: 'topics', title: 'Topics', key: 't', icon: 'M3 5h14v10H3zM3 6l7 5 7-5' },
  { page: 'transactions', title: 'Transactions', key: 'x', icon: 'M3 7h12l-3-3M17 13H5l3 3' },
  { page: 'data', title: 'Data', key: 'd', icon: 'M4 5c0-2 12-2 12 0v10c0 2-12 2-12 0zM4 5c0 2 12 2 12 0M4 10c0 2 12 2 12 0' },
  { page: 'problems', title: 'Problems', key: 'p', icon: 'M10 3l8 14H2zM10 8v4M10 14v1' },
];

/** Pages that are reached from others. */
const INNER = ['service', 'topic', 'transaction'];

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** Never fails: what is no address leads to the first page. */
export function parse(hash: string): Route {
  const [path = '', query = ''] = hash.replace(/^#\/?/, '').split('?', 2);
  const slash = path.indexOf('/');
  const page = slash < 0 ? path : path.slice(0, slash);
  const arg = slash < 0 ? '' : decode(path.slice(slash + 1));
  const isKnown = PAGES.some((one) => one.page === page) || (INNER.includes(page) && arg !== '');
  if (!isKnown) return { page: 'overview', arg: '', query: {} };
  return { page, arg, query: Object.fromEntries(new URLSearchParams(query)) };
}

export function link(page: string, arg = '', query: Record<string, string> = {}): string {
  const pairs = new URLSearchParams(Object.entries(query).filter(([, value]) => value !== '')).toString();
  return `#/${page}${arg === '' ? '' : `/${encodeURIComponent(arg)}`}${pairs === '' ? '' : `?${pairs}`}`;
}
