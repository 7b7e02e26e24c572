/** `SELECT … FROM … WHERE … GROUP BY …` over documents, as IoT Hub and DPS answer queries. */
import { lookUp, parseExpression, parsePath } from './expression.ts'
import type { Expression, Path, Value } from './expression.ts'
import { QuerySyntaxError, TokenReader } from './tokens.ts'

export type Query = {
  /** `devices`, `devices.modules`, `devices.jobs`, `enrollments`, … lower case. */
  readonly from: string
  /** True for `SELECT *`: the documents come as they are. */
  readonly isWhole: boolean
  run(documents: Iterable<Document>): Document[]
}
type Document = Readonly<Record<string, unknown>>

type Projection = { readonly name: string; readonly path: Path } | { readonly name: string; readonly aggregate: Aggregate }
type Aggregate = { readonly kind: 'COUNT' | 'AVG' | 'SUM' | 'MIN' | 'MAX'; readonly of: Expression | undefined }

/** @throws QuerySyntaxError */
export function parseQuery(text: string): Query {
  const tokens = new TokenReader(text, 'document')
  tokens.expectWord('SELECT')
  const top = tokens.takeWord('TOP') ? countOf(tokens) : undefined
  const projections = tokens.takeSign('*') ? undefined : parseProjections(tokens)
  tokens.expectWord('FROM')
  const from = [tokens.expectName()]
  while (tokens.takeSign('.')) from.push(tokens.expectName())
  const where = tokens.takeWord('WHERE') ? parseExpression(tokens) : undefined
  const groupBy: Path[] = []
  if (tokens.takeWord('GROUP')) {
    tokens.expectWord('BY')
    do groupBy.push(parsePath(tokens))
    while (tokens.takeSign(','))
  }
  tokens.expectEnd()
  const isAggregated = groupBy.length > 0 || projections?.some((projection) => 'aggregate' in projection) === true
  if (isAggregated && !projections) throw new QuerySyntaxError('GROUP BY needs a list of what to select')
  return {
    from: from.join('.').toLowerCase(),
    isWhole: projections === undefined,
    run(documents) {
      const matching: Document[] = []
      for (const document of documents) if (!where || where((path) => lookUp(document, path)) === true) matching.push(document)
      const rows = !projections
        ? matching
        : isAggregated
          ? aggregated(matching, projections, groupBy)
          : matching.map((one) => project(one, projections))
      return top === undefined ? rows : rows.slice(0, top)
    },
  }
}

function countOf(tokens: TokenReader): number {
  const token = tokens.next()
  if (token.kind !== 'number') throw new QuerySyntaxError('TOP is followed by a number')
  return token.value
}

function parseProjections(tokens: TokenReader): Projection[] {
  const projections: Projection[] = []
  do projections.push(parseProjection(tokens, projections.length + 1))
  while (tokens.takeSign(','))
  return projections
}

function parseProjection(tokens: TokenReader, position: number): Projection {
  const token = tokens.peek()
  const word = token?.kind === 'name' && tokens.isSign('(', 1) ? token.text.toUpperCase() : ''
  if (/^(COUNT|AVG|SUM|MIN|MAX)$/.test(word)) {
    tokens.next()
    tokens.expectSign('(')
    const of = tokens.isSign(')') || tokens.takeSign('*') ? undefined : parseExpression(tokens)
    tokens.expectSign(')')
    const kind = word as Aggregate['kind']
    if (kind !== 'COUNT' && !of) throw new QuerySyntaxError(`${kind}() needs to be told of what`)
    return { name: aliasOf(tokens) ?? `$${position}`, aggregate: { kind, of } }
  }
  const path = parsePath(tokens)
  return { name: aliasOf(tokens) ?? String(path.at(-1)), path }
}

function aliasOf(tokens: TokenReader): string | undefined {
  return tokens.takeWord('AS') ? tokens.expectName() : undefined
}

function project(document: Document, projections: readonly Projection[]): Document {
  const row: Record<string, unknown> = {}
  for (const projection of projections) {
    const value = 'path' in projection ? lookUp(document, projection.path) : undefined
    if (value !== undefined) row[projection.name] = value
  }
  return row
}

function aggregated(documents: readonly Document[], projections: readonly Projection[], groupBy: readonly Path[]): Document[] {
  const groups = new Map<string, Document[]>()
  if (groupBy.length === 0) groups.set('', [...documents])
  for (const document of groupBy.length === 0 ? [] : documents) {
    const key = JSON.stringify(groupBy.map((path) => lookUp(document, path) ?? null))
    const group = groups.get(key)
    if (group) group.push(document)
    else groups.set(key, [document])
  }
  return [...groups.values()].map((group) => {
    const row: Record<string, unknown> = {}
    for (const projection of projections) {
      const value = 'path' in projection ? lookUp(group[0] ?? {}, projection.path) : fold(projection.aggregate, group)
      if (value !== undefined) row[projection.name] = value
    }
    return row
  })
}

function fold({ kind, of }: Aggregate, group: readonly Document[]): Value {
  if (kind === 'COUNT' && !of) return group.length
  const values = group.map((document) => of!((path) => lookUp(document, path))).filter((value) => value !== undefined)
  if (kind === 'COUNT') return values.length
  const numbers = values.filter((value) => typeof value === 'number')
  if (numbers.length === 0) return undefined
  const sum = numbers.reduce((total, value) => total + value, 0)
  if (kind === 'SUM') return sum
  if (kind === 'AVG') return sum / numbers.length
  return numbers.reduce((best, value) => (kind === 'MIN' ? Math.min(best, value) : Math.max(best, value)))
}
