/** Reads a `connection.json`, and what it refers to. */
import { readFile } from 'node:fs/promises'
import { z } from 'zod'
import { Connection } from '../contract/connection.ts'
import { UsageError } from './command.ts'

export type Target = {
  readonly connection: Connection
  /** PEM of the certificate authority, when the file names one. */ readonly ca: string | undefined
}

/** @throws UsageError when the file cannot be used */
export async function readConnectionFile(path: string): Promise<Target> {
  let text: string
  try {
    text = await readFile(path, 'utf8')
  } catch (error) {
    throw new UsageError(
      `the connection file '${path}' cannot be read: ${(error as Error).message}. Is a cloud running? \`npx millwright cloud --data DIR\` writes DIR/connection.json`,
    )
  }
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    throw new UsageError(`the connection file '${path}' is not JSON`)
  }
  const result = Connection.safeParse(value)
  if (!result.success) throw new UsageError(`the connection file '${path}' is wrong:\n${z.prettifyError(result.error)}`)
  const { ca } = result.data
  return { connection: result.data, ca: ca === undefined ? undefined : await readFile(ca, 'utf8') }
}

/** Where `npm start` keeps its data. */
export function dataDirectory(): string {
  return process.env.MILLWRIGHT_DATA || '.millwright'
}
