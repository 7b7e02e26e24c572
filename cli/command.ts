/** What every sub-command is, and how its options are read: all mistakes reported together, exit code 2. */
import { existsSync, statSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { z } from 'zod'
import { errorText } from '../contract/error-text.ts'

export type Command = {
  readonly summary: string
  readonly help: string
  /** @returns the exit code */
  run(args: readonly string[], signal: AbortSignal): Promise<number>
}

/** Wrong use of the command line or wrong settings. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
}

export type OptionSpec = Record<string, { readonly type: 'string' | 'boolean'; readonly short?: string; readonly multiple?: boolean }>

/** Options by name and the words between them, checked by a schema. @throws UsageError naming every mistake */
export function parseOptions<Schema extends z.ZodType>(args: readonly string[], spec: OptionSpec, schema: Schema): z.infer<Schema> {
  let parsed: { values: Record<string, unknown>; positionals: string[] }
  try {
    parsed = parseArgs({ args: [...args], options: spec, allowPositionals: true, strict: true })
  } catch (error) {
    throw new UsageError(errorText(error))
  }
  const result = schema.safeParse({ ...parsed.values, positionals: parsed.positionals })
  if (!result.success)
    throw new UsageError(z.prettifyError(result.error).replaceAll('→ at ', '→ at --').replaceAll('--positionals', 'the arguments'))
  return result.data
}

export const noPositionals = z.array(z.never()).max(0, 'no further arguments are expected')

/** `250ms`, `30s`, `10m`, `2h`, `1d`. Milliseconds out. */
export const Duration = z
  .string()
  .regex(/^\d+(\.\d+)?(ms|s|m|h|d)$/, 'expected a length of time such as 30s, 10m or 2h')
  .transform((text) => {
    const unitMs = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 }[/[a-z]+$/.exec(text)![0] as 'ms' | 's' | 'm' | 'h' | 'd']
    return Number.parseFloat(text) * unitMs
  })

/** A file that was named to be read; a pipe is one, too. @throws UsageError */
export function existingFile(file: string): string {
  if (!existsSync(file)) throw new UsageError(`there is no file '${file}'`)
  if (statSync(file).isDirectory()) throw new UsageError(`'${file}' is a folder`)
  return file
}

/** A number, and not the nothing of a variable that is not set. */
export const NumberText = z.string().trim().min(1, 'expected a number').pipe(z.coerce.number())

export const Port = NumberText.pipe(z.int().min(0).max(65_535))

export function printJson(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value)}\n`)
}
