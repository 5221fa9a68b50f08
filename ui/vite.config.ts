// The build is committed (`dist`), so it must be reproducible and readable: one unminified script
// and one style sheet with stable names, relative addresses, nothing fetched from elsewhere.
import { defineConfig } from 'vite';

const server = process.env['HEARTH_URL'] ?? 'http://localhost:4040';

export default defineConfig({
  base: './',
  oxc: { jsx: { runtime: 'automatic', importSource: 'preact' } },
  build: {
    target: 'es2022',
    minify: false,
    cssMinify: false,
    modulePreload: false,
    assetsInlineLimit: 0,
    rolldownOptions: {
      output: {
        entryFileNames: 'assets/app.js',
        assetFileNames: 'assets/app[extname]',
        codeSplitting: false,
      },
    },
  },
  server: { proxy: { '/api': server } },
});
