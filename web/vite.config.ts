import { svelte } from '@sveltejs/vite-plugin-svelte';
import { existsSync, readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { constants, gzipSync } from 'node:zlib';
import { defineConfig, type Plugin } from 'vite';

/** Puts a compressed twin beside each file, so that the node compresses nothing at run time. */
function pack(): Plugin {
  const walk = (folder: string): string[] =>
    readdirSync(folder).flatMap((name) => {
      const path = join(folder, name);
      return statSync(path).isDirectory() ? walk(path) : [path];
    });
  return {
    name: 'pack',
    apply: 'build',
    closeBundle() {
      if (!existsSync('dist/site')) return;
      for (const path of walk('dist/site').filter((one) => !one.endsWith('.gz'))) {
        writeFileSync(`${path}.gz`, gzipSync(readFileSync(path), { level: constants.Z_BEST_COMPRESSION }));
      }
    },
  };
}

// `npm run dev` serves the pages with live reload and asks a running node for data:
// FLOTILLA_URL=http://127.0.0.1:8081 FLOTILLA_TOKEN=$(cat .flotilla/token) npm run dev
const node = process.env['FLOTILLA_URL'] ?? 'http://127.0.0.1:8081';
const token = process.env['FLOTILLA_TOKEN'] ?? '';

export default defineConfig({
  base: './',
  plugins: [svelte(), pack()],
  build: {
    outDir: 'dist/site',
    emptyOutDir: true,
    // The policy of the node lets no `data:` address in.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    target: 'es2022',
  },
  worker: { format: 'es' },
  server: {
    proxy: { '/v1': { target: node, changeOrigin: true, headers: { authorization: `Bearer ${token}` } } },
  },
  test: { include: ['src/**/*.test.ts'], environment: 'node' },
} as Parameters<typeof defineConfig>[0]);
