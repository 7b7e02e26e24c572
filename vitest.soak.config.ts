/** Long runs that are no part of `npm test`: `npm run soak`. */
import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['test/**/*.soak.ts'],
    globalSetup: ['test/setup/global-setup.ts'],
    setupFiles: ['test/setup/compile-schemas.ts'],
    testTimeout: 1_800_000,
    hookTimeout: 120_000,
    maxWorkers: 1,
  },
})
