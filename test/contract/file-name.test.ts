import fc from 'fast-check'
import { expect, test } from 'vitest'
import { fileNameOf } from '../../contract/file-name.ts'

test('an id names a file on every system', () => {
  expect(fileNameOf('pump-001_a')).toBe('pump-001_a')
  expect(fileNameOf('rack.3')).toBe('rack.3')
  expect(fileNameOf('a:b*c?')).toBe('a%3Ab%2Ac%3F')
  expect(['.', '..', 'pump.'].map(fileNameOf)).toEqual(['%2E', '%2E%2E', 'pump%2E'])
})

test('of two ids never the same', () => {
  // What IoT Hub takes in an id.
  const id = fc.stringMatching(/^[A-Za-z0-9\-.%_#*?!(),:=@$']{1,12}$/)
  fc.assert(
    fc.property(id, (name) => {
      expect(decodeURIComponent(fileNameOf(name))).toBe(name)
      expect(fileNameOf(name)).toMatch(/^[^<>:"/\\|?*]*[^<>:"/\\|?*.]$/)
    }),
  )
})
