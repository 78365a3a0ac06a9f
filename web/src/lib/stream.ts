export type Connection = 'connecting' | 'live' | 'lost';

/**
 * Listens to an event stream of the node. A page that nobody sees lets go of it: browsers open six connections to one
 * server, over all pages, and a few forgotten ones would leave none for the next. `path` is asked again when the page is
 * seen again, so that it can say where to go on. Returns how to end it.
 */
export function watch<T>(path: () => string, event: string, take: (data: T) => void, tell: (connection: Connection) => void = () => {}): () => void {
  let stream: EventSource | null = null;
  const update = () => {
    if (document.hidden) {
      stream?.close();
      stream = null;
    } else if (!stream) {
      stream = new EventSource(path());
      stream.addEventListener('open', () => tell('live'));
      stream.addEventListener('error', () => tell('lost'));
      stream.addEventListener(event, (message: MessageEvent<string>) => take(JSON.parse(message.data) as T));
    }
  };
  update();
  document.addEventListener('visibilitychange', update);
  return () => {
    document.removeEventListener('visibilitychange', update);
    stream?.close();
    stream = null;
  };
}
