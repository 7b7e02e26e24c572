/**
 * Conditions of routes, as IoT Hub and edgeHub write them: comparisons of application properties, `$system` properties
 * and constants, joined by AND, OR, NOT and IS_DEFINED(…). A comparison with something undefined is neither true nor
 * false, and lets nothing through.
 */

export type RoutableMessage = {
  readonly system: Readonly<Record<string, string | undefined>>
  readonly application: Readonly<Record<string, string>>
}

export type Condition = (message: RoutableMessage) => boolean

/** A route that cannot be understood; the deployment must be mended. */
export class RouteSyntaxError extends Error {
  override readonly name = 'RouteSyntaxError'
}

type Value = string | number | boolean | undefined
type Expression = (message: RoutableMessage) => Value

/** @throws RouteSyntaxError */
export function parseCondition(text: string): Condition {
  const tokens = tokenize(text)
  const expression = parseOr(tokens)
  const rest = tokens.peek()
  if (rest !== undefined) throw new RouteSyntaxError(`'${rest}' is not expected in the condition '${text}'`)
  return (message) => expression(message) === true
}

class Tokens {
  readonly #tokens: readonly string[]
  #position = 0
  constructor(tokens: readonly string[]) {
    this.#tokens = tokens
  }
  peek(): string | undefined {
    return this.#tokens[this.#position]
  }
  /** Takes the next token if it is this word, whatever its case. */
  take(word: string): boolean {
    if (this.peek()?.toUpperCase() !== word) return false
    this.#position++
    return true
  }
  next(): string {
    const token = this.#tokens[this.#position++]
    if (token === undefined) throw new RouteSyntaxError('the condition ends too early')
    return token
  }
  expect(word: string): void {
    if (!this.take(word)) throw new RouteSyntaxError(`'${word}' is expected before '${this.peek() ?? 'the end'}'`)
  }
}

function tokenize(text: string): Tokens {
  const pattern = /\s*(?:('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")|(<=|>=|!=|<>|[=<>()])|(-?\d+(?:\.\d+)?)|(\$?[A-Za-z_][\w.\-$]*))/gy
  const tokens: string[] = []
  while (pattern.lastIndex < text.trimEnd().length) {
    const at = pattern.lastIndex
    const match = pattern.exec(text)
    if (!match) throw new RouteSyntaxError(`the condition cannot be read from '${text.slice(at)}' on`)
    tokens.push(match[0].trim())
  }
  return new Tokens(tokens)
}

function parseOr(tokens: Tokens): Expression {
  let left = parseAnd(tokens)
  while (tokens.take('OR')) {
    const [first, second] = [left, parseAnd(tokens)]
    left = (message) => first(message) === true || second(message) === true
  }
  return left
}

function parseAnd(tokens: Tokens): Expression {
  let left = parseNot(tokens)
  while (tokens.take('AND')) {
    const [first, second] = [left, parseNot(tokens)]
    left = (message) => first(message) === true && second(message) === true
  }
  return left
}

function parseNot(tokens: Tokens): Expression {
  if (!tokens.take('NOT')) return parseComparison(tokens)
  const operand = parseNot(tokens)
  return (message) => {
    const value = operand(message)
    return value === undefined ? undefined : value !== true
  }
}

function parseComparison(tokens: Tokens): Expression {
  const left = parseOperand(tokens)
  const operator = tokens.peek()
  if (operator === undefined || !/^(=|!=|<>|<|>|<=|>=)$/.test(operator)) return left
  tokens.next()
  const right = parseOperand(tokens)
  return (message) => compare(left(message), operator, right(message))
}

function compare(left: Value, operator: string, right: Value): boolean | undefined {
  if (left === undefined || right === undefined) return undefined
  // Application properties are text: beside a number they are read as one.
  const [a, b] = typeof left === 'number' || typeof right === 'number' ? [Number(left), Number(right)] : [left, right]
  switch (operator) {
    case '=':
      return a === b
    case '!=':
    case '<>':
      return a !== b
    case '<':
      return a < b
    case '>':
      return a > b
    case '<=':
      return a <= b
    default:
      return a >= b
  }
}

function parseOperand(tokens: Tokens): Expression {
  if (tokens.take('(')) {
    const inner = parseOr(tokens)
    tokens.expect(')')
    return inner
  }
  if (tokens.take('IS_DEFINED')) {
    tokens.expect('(')
    const inner = parseOperand(tokens)
    tokens.expect(')')
    return (message) => inner(message) !== undefined
  }
  const token = tokens.next()
  if (/^['"]/.test(token)) {
    const literal = token.slice(1, -1).replace(/\\(.)/g, '$1')
    return () => literal
  }
  if (/^-?\d/.test(token)) {
    const literal = Number(token)
    return () => literal
  }
  if (/^(true|false)$/i.test(token)) {
    const literal = token.toLowerCase() === 'true'
    return () => literal
  }
  if (token.startsWith('$')) {
    const name = token.slice(1).toLowerCase()
    return ({ system }) => Object.entries(system).find(([key]) => key.toLowerCase() === name)?.[1]
  }
  if (!/^[A-Za-z_]/.test(token) || /^(AND|OR|NOT)$/i.test(token)) throw new RouteSyntaxError(`'${token}' is no value`)
  return ({ application }) => (Object.hasOwn(application, token) ? application[token] : undefined)
}
