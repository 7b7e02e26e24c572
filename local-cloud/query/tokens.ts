/** Words of IoT Hub's query language: names, literals, operators. One language for twins, jobs, routes of hub and edge. */

/** A query or condition that cannot be read; whoever wrote it must mend it. */
export class QuerySyntaxError extends Error {
  override readonly name = 'QuerySyntaxError'
}

export type Token =
  | { readonly kind: 'name'; readonly text: string; readonly isQuoted: boolean }
  | { readonly kind: 'string'; readonly text: string }
  | { readonly kind: 'number'; readonly value: number }
  | { readonly kind: 'sign'; readonly text: string }

const pattern =
  /\s*(?:'((?:[^'\\]|\\.|'')*)'|"((?:[^"\\]|\\.)*)"|\[\[([^\]]+)\]\]|\{([^}]+)\}|(\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)|(\$?[A-Za-z_][\w$]*(?:-[A-Za-z_$][\w$]*)*)|(<=|>=|!=|<>|\|\||[=<>()[\],.*+\-/%]))/gy

/** Longer than any query the service takes. */
const queryCharactersMax = 16_384

/** Properties of messages are always text; beside a number they are read as one. Twins know their types. */
export type Dialect = 'message' | 'document'

/** Reads tokens one after the other; keywords whatever their case. */
export class TokenReader {
  readonly dialect: Dialect
  readonly #tokens: readonly Token[]
  #position = 0

  /** @throws QuerySyntaxError */
  constructor(text: string, dialect: Dialect) {
    this.dialect = dialect
    if (text.length > queryCharactersMax) throw new QuerySyntaxError(`a query is limited to ${queryCharactersMax} characters`)
    this.#tokens = tokenize(text)
  }

  get isAtEnd(): boolean {
    return this.#position >= this.#tokens.length
  }

  peek(ahead = 0): Token | undefined {
    return this.#tokens[this.#position + ahead]
  }

  next(): Token {
    const token = this.#tokens[this.#position++]
    if (!token) throw new QuerySyntaxError('the query ends too early')
    return token
  }

  isSign(text: string, ahead = 0): boolean {
    const token = this.peek(ahead)
    return token?.kind === 'sign' && token.text === text
  }

  takeSign(text: string): boolean {
    if (!this.isSign(text)) return false
    this.#position++
    return true
  }

  isWord(word: string): boolean {
    const token = this.peek()
    return token?.kind === 'name' && !token.isQuoted && token.text.toUpperCase() === word
  }

  takeWord(word: string): boolean {
    if (!this.isWord(word)) return false
    this.#position++
    return true
  }

  expectSign(text: string): void {
    if (!this.takeSign(text)) throw new QuerySyntaxError(`'${text}' is expected before ${this.here()}`)
  }

  expectWord(word: string): void {
    if (!this.takeWord(word)) throw new QuerySyntaxError(`'${word}' is expected before ${this.here()}`)
  }

  expectName(): string {
    const token = this.next()
    if (token.kind !== 'name') throw new QuerySyntaxError(`a name is expected before ${this.here()}`)
    return token.text
  }

  expectEnd(): void {
    if (!this.isAtEnd) throw new QuerySyntaxError(`${this.here()} is not expected`)
  }

  /** The next token, as an error names it. */
  here(): string {
    const token = this.peek()
    if (!token) return 'the end'
    return `'${token.kind === 'number' ? token.value : token.text}'`
  }
}

function tokenize(text: string): Token[] {
  const tokens: Token[] = []
  const end = text.trimEnd().length
  pattern.lastIndex = 0
  for (let at = 0; at < end; at = pattern.lastIndex) {
    const match = pattern.exec(text)
    if (!match) throw new QuerySyntaxError(`the query cannot be read from '${text.slice(at, at + 40)}' on`)
    const [, single, double, bracketed, braced, number, name, sign] = match
    const literal = single ?? double
    if (literal !== undefined) tokens.push({ kind: 'string', text: literal.replace(/\\(.)|'(')/g, '$1$2') })
    else if (bracketed !== undefined || braced !== undefined)
      tokens.push({ kind: 'name', text: (bracketed ?? braced)!.trim(), isQuoted: true })
    else if (number !== undefined) tokens.push({ kind: 'number', value: Number(number) })
    else if (name !== undefined) tokens.push({ kind: 'name', text: name, isQuoted: false })
    else tokens.push({ kind: 'sign', text: sign! })
  }
  return tokens
}
