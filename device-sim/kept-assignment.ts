/**
 * The hub that a device was assigned to, on disk: a device that starts again need not ask the provisioning service, which
 * may be out of reach, and has a quota for a fleet that starts at once.
 */
import { readFileSync } from 'node:fs'
import { z } from 'zod'
import { writeWhole } from '../journal/durable-file.ts'

const Stored = z.object({
  endpoint: z.string(),
  idScope: z.string(),
  registrationId: z.string(),
  hubHost: z.string(),
  deviceId: z.string(),
  /** Which of the device's keys the service took; 0 for a certificate. */
  attestation: z.number().int().min(0),
})
type Asked = Pick<z.infer<typeof Stored>, 'endpoint' | 'idScope' | 'registrationId'>
type Assigned = Omit<z.infer<typeof Stored>, keyof Asked>

export class KeptAssignment {
  readonly #file: string
  readonly #asked: Asked

  constructor(file: string, asked: Asked) {
    this.#file = file
    this.#asked = asked
  }

  /** @returns undefined when there is none, it cannot be read, or other settings were in force */
  read(): Assigned | undefined {
    try {
      const { endpoint, idScope, registrationId, ...assigned } = Stored.parse(JSON.parse(readFileSync(this.#file, 'utf8')))
      const { endpoint: askedEndpoint, idScope: askedScope, registrationId: askedId } = this.#asked
      return endpoint === askedEndpoint && idScope === askedScope && registrationId === askedId ? assigned : undefined
    } catch {
      return undefined
    }
  }

  write(assigned: Assigned): void {
    writeWhole(this.#file, `${JSON.stringify({ ...this.#asked, ...assigned } satisfies z.infer<typeof Stored>)}\n`)
  }
}
