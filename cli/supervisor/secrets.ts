/** Secrets of one installation, made at its first start: no two have the same. */
import { randomBytes } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

/** The content of a file in the data folder, which only its owner may read; made by `create` when it is not there. */
export async function secretFile(directory: string, name: string, create: () => string): Promise<string> {
  const path = join(directory, name)
  try {
    return (await readFile(path, 'utf8')).trim()
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
  }
  const secret = create()
  await writeFile(path, `${secret}\n`, { mode: 0o600 })
  return secret
}

export const newOperatorToken = () => randomBytes(24).toString('base64url')
export const newWebhookSecret = () => `whsec_${randomBytes(24).toString('base64')}`
