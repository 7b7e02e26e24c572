/** Releases of the agent on disk: one file each, named by its hash, and the state that says which of them runs. */
import { createHash, verify } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import { mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import https from 'node:https'
import { join } from 'node:path'
import { z } from 'zod'
import { writeWhole } from '../../journal/durable-file.ts'
import { ReleaseState } from './release.ts'
import type { Release } from './release.ts'

const bytesMax = 64 * 1024 * 1024
const silenceMsMax = 30_000

/** The file could not be had, or is not what was signed. `retryable` says whether trying again can help. */
export class ReleaseError extends Error {
  override readonly name = 'ReleaseError'
  readonly retryable: boolean
  constructor(message: string, retryable: boolean, options?: ErrorOptions) {
    super(message, options)
    this.retryable = retryable
  }
}

export class ReleaseFolder {
  readonly #directory: string
  readonly #publicKey: KeyObject
  readonly #ca: string | undefined

  /** @param publicKey of the key that signs releases, Ed25519 @param ca authority of a local cloud, trusted beside the system's own */
  constructor(directory: string, publicKey: KeyObject, ca?: string) {
    this.#directory = directory
    this.#publicKey = publicKey
    this.#ca = ca
    mkdirSync(directory, { recursive: true })
  }

  /** A state that cannot be read is none: what was installed runs, and what is desired is fetched again. */
  get state(): ReleaseState {
    try {
      return ReleaseState.parse(JSON.parse(readFileSync(this.#stateFile, 'utf8')))
    } catch (error) {
      if (error instanceof z.ZodError || error instanceof SyntaxError || (error as NodeJS.ErrnoException).code === 'ENOENT') return {}
      throw error
    }
  }

  /** Files that it does not name are removed. */
  set state(state: ReleaseState) {
    writeWhole(this.#stateFile, `${JSON.stringify(state, null, 2)}\n`)
    const named = [state.active, state.previous, state.trial?.release].map((release) => release && fileName(release))
    for (const name of readdirSync(this.#directory)) if (name.endsWith('.cjs') && !named.includes(name)) rmSync(join(this.#directory, name))
  }

  /** The file of a release, its bytes checked again: nothing unsigned is ever loaded. @throws ReleaseError */
  fileOf(release: Release): string {
    const file = join(this.#directory, fileName(release))
    try {
      this.#check(release, readFileSync(file))
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
      throw new ReleaseError(`the file of version ${release.version} is not on the device`, true, { cause: error })
    }
    return file
  }

  /** Asks the network only for what is not here, whole. @throws ReleaseError */
  async fetch(release: Release): Promise<void> {
    try {
      this.fileOf(release)
    } catch (error) {
      if (!(error instanceof ReleaseError)) throw error
      const bytes = await download(release.url, this.#ca)
      this.#check(release, bytes)
      writeWhole(join(this.#directory, fileName(release)), bytes)
    }
  }

  #check({ version, sha256, signature }: Release, bytes: Buffer): void {
    if (createHash('sha256').update(bytes).digest('hex') !== sha256)
      throw new ReleaseError(`the file of version ${version} has another hash than the one desired`, false)
    if (!verify(null, bytes, this.#publicKey, Buffer.from(signature, 'base64')))
      throw new ReleaseError(`the file of version ${version} is not signed by the key that this device trusts`, false)
  }

  get #stateFile(): string {
    return join(this.#directory, 'state.json')
  }
}

const fileName = ({ sha256 }: Release) => `${sha256}.cjs`

function download(url: string, ca: string | undefined): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const failed = (what: string, retryable: boolean, cause?: Error) =>
      reject(new ReleaseError(`'${new URL(url).host}' did not give the file: ${what}`, retryable, { cause }))
    const request = https.get(url, { timeout: silenceMsMax, ...(ca === undefined ? {} : { ca }) }, (response) => {
      const { statusCode = 0 } = response
      if (statusCode !== 200) {
        response.resume()
        return failed(`answer ${statusCode}`, statusCode >= 500 || statusCode === 429)
      }
      const chunks: Buffer[] = []
      let size = 0
      response.on('data', (chunk: Buffer) => {
        size += chunk.length
        if (size <= bytesMax) return chunks.push(chunk)
        response.destroy()
        return failed(`it is over ${bytesMax} bytes`, false)
      })
      response.on('end', () => resolve(Buffer.concat(chunks)))
      response.on('error', (error) => failed(error.message, true, error))
    })
    request.on('timeout', () => request.destroy(new Error(`nothing came for ${silenceMsMax / 1000} s`)))
    request.on('error', (error) => failed(error.message, true, error))
  })
}
