/** Functions of the query language. What is given undefined, or a value of another type, answers undefined. */
import type { Value } from './expression.ts'

type Definition = { readonly parameters: readonly [least: number, most: number]; apply(values: readonly Value[]): Value }

const test = (check: (value: Value) => boolean): Definition => ({ parameters: [1, 1], apply: ([value]) => check(value) })

const ofNumber = (compute: (value: number) => number): Definition => ({
  parameters: [1, 1],
  apply: ([value]) => (typeof value === 'number' ? finite(compute(value)) : undefined),
})

const ofText = (compute: (text: string) => Value): Definition => ({
  parameters: [1, 1],
  apply: ([text]) => (typeof text === 'string' ? compute(text) : undefined),
})

const ofTexts = (compute: (text: string, other: string) => Value): Definition => ({
  parameters: [2, 2],
  apply: ([text, other]) => (typeof text === 'string' && typeof other === 'string' ? compute(text, other) : undefined),
})

const finite = (value: number): number | undefined => (Number.isFinite(value) ? value : undefined)
const isPrimitive = (value: Value) => value === null || ['string', 'number', 'boolean'].includes(typeof value)

export const functions: Readonly<Record<string, Definition | undefined>> = Object.assign(Object.create(null) as object, {
  IS_DEFINED: test((value) => value !== undefined),
  IS_NULL: test((value) => value === null),
  IS_BOOL: test((value) => typeof value === 'boolean'),
  IS_NUMBER: test((value) => typeof value === 'number'),
  IS_STRING: test((value) => typeof value === 'string'),
  IS_ARRAY: test((value) => Array.isArray(value)),
  IS_OBJECT: test((value) => typeof value === 'object' && value !== null && !Array.isArray(value)),
  IS_PRIMITIVE: test(isPrimitive),
  ABS: ofNumber(Math.abs),
  EXP: ofNumber(Math.exp),
  CEILING: ofNumber(Math.ceil),
  FLOOR: ofNumber(Math.floor),
  SIGN: ofNumber(Math.sign),
  SQRT: ofNumber(Math.sqrt),
  SQUARE: ofNumber((value) => value * value),
  POWER: {
    parameters: [2, 2],
    apply: ([base, exponent]) => (typeof base === 'number' && typeof exponent === 'number' ? finite(base ** exponent) : undefined),
  },
  AS_NUMBER: {
    parameters: [1, 1],
    apply: ([value]) =>
      typeof value === 'number' ? value : typeof value === 'string' && value.trim() !== '' ? finite(Number(value)) : undefined,
  },
  CONCAT: {
    parameters: [1, 32],
    apply: (values) => (values.every((value) => typeof value === 'string') ? values.join('') : undefined),
  },
  LENGTH: ofText((text) => text.length),
  LOWER: ofText((text) => text.toLowerCase()),
  UPPER: ofText((text) => text.toUpperCase()),
  STARTSWITH: ofTexts((text, start) => text.startsWith(start)),
  STARTS_WITH: ofTexts((text, start) => text.startsWith(start)),
  ENDSWITH: ofTexts((text, end) => text.endsWith(end)),
  ENDS_WITH: ofTexts((text, end) => text.endsWith(end)),
  CONTAINS: ofTexts((text, part) => text.includes(part)),
  INDEX_OF: ofTexts((text, part) => text.indexOf(part)),
  SUBSTRING: {
    parameters: [2, 3],
    apply: ([text, start, length]) => {
      if (typeof text !== 'string' || typeof start !== 'number') return undefined
      return typeof length === 'number' ? text.slice(start, start + length) : text.slice(start)
    },
  },
} satisfies Record<string, Definition>)
