import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/*.test.ts'],
    environment: 'happy-dom',
    testTimeout: 30_000, // machines may be busy
    environmentOptions: { happyDOM: { url: 'https://shop.example/start?utm_source=mail' } },
    restoreMocks: true,
  },
});
