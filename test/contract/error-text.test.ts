import { expect, test } from 'vitest'
import { errorText } from '../../contract/error-text.ts'

test.each([
  { what: 'an error', error: new Error('too large'), says: 'too large' },
  { what: 'what is no error', error: 'refused', says: 'refused' },
  {
    what: 'a fetch that failed',
    error: new TypeError('fetch failed', { cause: new Error('no such host') }),
    says: 'fetch failed: no such host',
  },
  {
    what: 'a fetch that tried several addresses',
    error: new TypeError('fetch failed', { cause: new AggregateError([new Error('::1 refused'), new Error('127.0.0.1 refused')]) }),
    says: 'fetch failed: ::1 refused',
  },
  { what: 'attempts in vain', error: new AggregateError([new Error('refused'), new Error('timed out')]), says: 'timed out' },
])('$what says what went wrong', ({ error, says }) => expect(errorText(error)).toBe(says))
