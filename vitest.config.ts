import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: ['test/setup/global-setup.ts'],
    setupFiles: ['test/setup/compile-schemas.ts'],
    testTimeout: 40_000,
    hookTimeout: 60_000,
    // What is waited for takes as long as it takes: the hub's own pauses are of a second.
    expect: { poll: { timeout: 20_000 } },
    // Two cores: more workers would only make the tests that start real processes wait for each other.
    maxWorkers: 2,
  },
})
