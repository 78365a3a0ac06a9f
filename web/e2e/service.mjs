// A service of the system under test. What it does is chosen by its name and by requests, so that a test can make trouble and
// mend it.
import { createServer } from 'node:http';

const name = process.env.FLOTILLA_SERVICE;
const LINES_PER_TURN = 250;
const TURN_MS = 50;
let isHealed = false;
let noise;
let printed = 0;

const HOSTILE = [
  '\u001b[31mred\u001b[0m <script>window.hacked = 1</script><img src=x onerror="window.hacked = 1">',
  'turned \u202earound\u0007 and \u001b]0;title\u0007 set',
];

function print(path) {
  if (path === '/noise') {
    clearInterval(noise);
    noise = setInterval(() => {
      let text = '';
      for (let index = 0; index < LINES_PER_TURN; index += 1) {
        printed += 1;
        text += `line ${printed} of the flood${printed % 1000 === 0 ? ' needle' : ''}\n`;
      }
      process.stdout.write(text);
    }, TURN_MS);
  } else if (path === '/quiet') {
    clearInterval(noise);
  } else if (path === '/hostile') {
    for (const line of HOSTILE) console.log(line);
    process.stdout.write(Buffer.from([0x62, 0x61, 0x64, 0xff, 0xfe, 0x20, 0x62, 0x79, 0x74, 0x65, 0x73, 0x0a]));
    console.log('x'.repeat(1 << 20));
  }
}

async function answer(request) {
  const { pathname } = new URL(request.url, 'http://service');
  print(pathname);
  if (pathname.endsWith('/heal')) isHealed = true;
  if (pathname.endsWith('/fragile') && !isHealed) return [500, 'ERROR the pool timed out'];
  if (pathname.endsWith('/refuse')) return [409, '{"why":"sold out"}'];
  if (name === 'orders' && pathname === '/orders') {
    for (const url of [process.env.USERS_URL, process.env.ITEMS_URL]) await (await fetch(`${url}/from-orders`)).text();
  }
  return [200, JSON.stringify({ service: name, pid: process.pid })];
}

createServer((request, response) => {
  request.resume().on('end', async () => {
    const [status, text] = await answer(request).catch((cause) => [502, String(cause)]);
    if (status >= 500) console.log(text);
    response.writeHead(status, { 'content-type': 'application/json' }).end(text);
  });
}).listen(process.env.PORT, '127.0.0.1');
console.log(`INFO ${name} listens`);
