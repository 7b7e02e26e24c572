/** `npm run soak` takes something away at each of these places: they must be there. */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { root } from '../support/product.ts'
import { mutations } from './mutations.ts'

test.each(mutations)('$file has the place where $what', ({ file, from, tests }) => {
  expect(readFileSync(join(root, file), 'utf8').split(from)).toHaveLength(2)
  expect(existsSync(join(root, tests))).toBe(true)
})
