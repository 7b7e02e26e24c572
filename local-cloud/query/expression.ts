/**
 * Expressions of IoT Hub's query language. A name that is not there makes every comparison undefined, and what is
 * undefined lets nothing through (iot-hub-devguide-query-language.md, iot-hub-devguide-routing-query-syntax.md).
 */
import { functions } from './functions.ts'
import { QuerySyntaxError, TokenReader } from './tokens.ts'
import type { Dialect } from './tokens.ts'

export type Value = undefined | null | boolean | number | string | readonly unknown[] | { readonly [key: string]: unknown }

/** Where names come from: a path of names and indexes, such as `tags`, `location`. */
export type Scope = (path: Path) => unknown
export type Path = readonly (string | number)[]

export type Expression = (scope: Scope) => Value

/** Deeper nesting is nobody's query, but could end the process. */
const depthMax = 64

/** A condition alone. @throws QuerySyntaxError */
export function parseCondition(text: string, dialect: Dialect): (scope: Scope) => boolean {
  const tokens = new TokenReader(text, dialect)
  const expression = parseExpression(tokens)
  tokens.expectEnd()
  return (scope) => expression(scope) === true
}

export function parseExpression(tokens: TokenReader, depth = 0): Expression {
  if (depth > depthMax) throw new QuerySyntaxError(`an expression is nested more than ${depthMax} deep`)
  let left = parseAnd(tokens, depth)
  while (tokens.takeWord('OR')) {
    const [first, second] = [left, parseAnd(tokens, depth)]
    left = (scope) => {
      const a = truth(first(scope))
      if (a === true) return true
      const b = truth(second(scope))
      return b === true ? true : a === undefined || b === undefined ? undefined : false
    }
  }
  return left
}

function parseAnd(tokens: TokenReader, depth: number): Expression {
  let left = parseNot(tokens, depth)
  while (tokens.takeWord('AND')) {
    const [first, second] = [left, parseNot(tokens, depth)]
    left = (scope) => {
      const a = truth(first(scope))
      if (a === false) return false
      const b = truth(second(scope))
      return b === false ? false : a === undefined || b === undefined ? undefined : true
    }
  }
  return left
}

function parseNot(tokens: TokenReader, depth: number): Expression {
  if (depth > depthMax) throw new QuerySyntaxError(`an expression is nested more than ${depthMax} deep`)
  if (!tokens.takeWord('NOT')) return parseComparison(tokens, depth)
  const operand = parseNot(tokens, depth + 1)
  return (scope) => {
    const value = truth(operand(scope))
    return value === undefined ? undefined : !value
  }
}

function truth(value: Value): boolean | undefined {
  return typeof value === 'boolean' ? value : undefined
}

function parseComparison(tokens: TokenReader, depth: number): Expression {
  const left = parseSum(tokens, depth)
  const token = tokens.peek()
  if (token?.kind === 'sign' && /^(=|!=|<>|<|>|<=|>=)$/.test(token.text)) {
    tokens.next()
    const right = parseSum(tokens, depth)
    const align = tokens.dialect === 'message' ? readNumbers : (a: Value, b: Value) => [a, b] as const
    return (scope) => compare(...align(left(scope), right(scope)), token.text)
  }
  const isNegated = tokens.isWord('NIN')
  if (tokens.takeWord('IN') || tokens.takeWord('NIN')) {
    const list = parseSum(tokens, depth)
    return (scope) => {
      const [value, values] = [left(scope), list(scope)]
      if (value === undefined || !Array.isArray(values)) return undefined
      return values.some((one) => compare(value, one as Value, '=') === true) !== isNegated
    }
  }
  return left
}

function readNumbers(left: Value, right: Value): readonly [Value, Value] {
  if (typeof left === 'number' && typeof right === 'string') return [left, asNumber(right)]
  if (typeof left === 'string' && typeof right === 'number') return [asNumber(left), right]
  return [left, right]
}

function asNumber(text: string): number | undefined {
  const value = Number(text)
  return text.trim() === '' || !Number.isFinite(value) ? undefined : value
}

function compare(left: Value, right: Value, operator: string): boolean | undefined {
  if (left === undefined || right === undefined) return undefined
  const isEqual = () =>
    typeof left === 'object' || typeof right === 'object' ? JSON.stringify(left) === JSON.stringify(right) : left === right
  if (operator === '=') return isEqual()
  if (operator === '!=' || operator === '<>') return !isEqual()
  // Order is defined among numbers and among texts only.
  const isOrdered = (typeof left === 'number' && typeof right === 'number') || (typeof left === 'string' && typeof right === 'string')
  if (!isOrdered) return undefined
  if (operator === '<') return left < right
  if (operator === '>') return left > right
  if (operator === '<=') return left <= right
  return left >= right
}

function parseSum(tokens: TokenReader, depth: number): Expression {
  let left = parseProduct(tokens, depth)
  for (;;) {
    const sign = ['+', '-', '||'].find((text) => tokens.takeSign(text))
    if (sign === undefined) return left
    const [first, second] = [left, parseProduct(tokens, depth)]
    left =
      sign === '||' || sign === '+'
        ? (scope) => add(first(scope), second(scope), sign === '||')
        : (scope) => numeric(first(scope), second(scope), (a, b) => a - b)
  }
}

function parseProduct(tokens: TokenReader, depth: number): Expression {
  let left = parseOperand(tokens, depth)
  for (;;) {
    const sign = ['*', '/', '%'].find((text) => tokens.takeSign(text))
    if (sign === undefined) return left
    const [first, second] = [left, parseOperand(tokens, depth)]
    const operate = sign === '*' ? multiply : sign === '/' ? divide : remainder
    left = (scope) => numeric(first(scope), second(scope), operate)
  }
}

const multiply = (a: number, b: number) => a * b
const divide = (a: number, b: number) => (b === 0 ? undefined : a / b)
const remainder = (a: number, b: number) => (b === 0 ? undefined : a % b)

function add(left: Value, right: Value, isJoin: boolean): Value {
  if (isJoin || typeof left === 'string' || typeof right === 'string')
    return typeof left === 'string' && typeof right === 'string' ? left + right : undefined
  return numeric(left, right, (a, b) => a + b)
}

function numeric(left: Value, right: Value, operate: (a: number, b: number) => number | undefined): Value {
  return typeof left === 'number' && typeof right === 'number' ? operate(left, right) : undefined
}

function parseOperand(tokens: TokenReader, depth: number): Expression {
  if (depth > depthMax) throw new QuerySyntaxError(`an expression is nested more than ${depthMax} deep`)
  if (tokens.takeSign('(')) {
    const inner = parseExpression(tokens, depth + 1)
    tokens.expectSign(')')
    return inner
  }
  if (tokens.takeSign('-')) {
    const operand = parseOperand(tokens, depth + 1)
    return (scope) => numeric(0, operand(scope), (a, b) => a - b)
  }
  if (tokens.takeSign('[')) {
    const items = parseList(tokens, ']', depth + 1)
    return (scope) => items.map((item) => item(scope))
  }
  const token = tokens.peek()
  if (token?.kind === 'string') {
    tokens.next()
    return () => token.text
  }
  if (token?.kind === 'number') {
    tokens.next()
    return () => token.value
  }
  if (token?.kind !== 'name') throw new QuerySyntaxError(`a value is expected before ${tokens.here()}`)
  if (!token.isQuoted) {
    const upper = token.text.toUpperCase()
    const literal = upper === 'TRUE' ? true : upper === 'FALSE' ? false : upper === 'NULL' ? null : undefined
    if (literal !== undefined) {
      tokens.next()
      return () => literal
    }
    if (reserved.has(upper)) throw new QuerySyntaxError(`${tokens.here()} is not expected`)
    if (tokens.isSign('(', 1)) return parseCall(tokens, depth)
  }
  const path = parsePath(tokens)
  return (scope) => scope(path) as Value
}

const reserved = new Set(['AND', 'OR', 'NOT', 'IN', 'NIN', 'WHERE', 'FROM', 'SELECT', 'GROUP', 'BY', 'AS', 'ORDER'])

function parseList(tokens: TokenReader, end: string, depth: number): Expression[] {
  const items: Expression[] = []
  while (!tokens.takeSign(end)) {
    if (items.length > 0) tokens.expectSign(',')
    items.push(parseExpression(tokens, depth))
  }
  return items
}

function parseCall(tokens: TokenReader, depth: number): Expression {
  const name = tokens.expectName()
  const definition = functions[name.toUpperCase()]
  if (!definition) throw new QuerySyntaxError(`there is no function '${name}'`)
  tokens.expectSign('(')
  const parameters = parseList(tokens, ')', depth + 1)
  const [least, most] = definition.parameters
  if (parameters.length < least || parameters.length > most)
    throw new QuerySyntaxError(`'${name}' takes ${least === most ? least : `${least} to ${most}`} arguments, not ${parameters.length}`)
  return (scope) => definition.apply(parameters.map((parameter) => parameter(scope)))
}

/** `a.b`, `a['b']`, `a[0]`, `a.[[b c]]`. */
export function parsePath(tokens: TokenReader): Path {
  const path: (string | number)[] = [tokens.expectName()]
  for (;;) {
    if (tokens.takeSign('.')) {
      path.push(tokens.expectName())
    } else if (tokens.isSign('[') && ['number', 'string'].includes(tokens.peek(1)?.kind ?? '') && tokens.isSign(']', 2)) {
      tokens.next()
      const index = tokens.next()
      path.push(index.kind === 'number' ? index.value : (index as { text: string }).text)
      tokens.next()
    } else {
      const next = tokens.peek()
      if (next?.kind !== 'name' || !next.isQuoted) return path
      path.push(tokens.expectName())
    }
  }
}

/** Looks a path up in a JSON value; undefined when any part of it is missing. */
export function lookUp(value: unknown, path: Path): unknown {
  let current = value
  for (const part of path) {
    if (typeof current !== 'object' || current === null || !Object.hasOwn(current, part)) return undefined
    current = (current as Record<string | number, unknown>)[part]
  }
  return current
}
