/**
 * First connection by the Device Provisioning Service: a device proves who it is by a key (of an enrolment group's device,
 * derived from the group's) or by a certificate, and is told its hub. HTTPS, as documented
 * (`PUT /{idScope}/registrations/{id}/register`).
 */
import { createHmac } from 'node:crypto'
import https from 'node:https'
import { setTimeout as delay } from 'node:timers/promises'
import { z } from 'zod'
import { sharedAccessSignature } from './device-credentials.ts'
import { httpsRequest } from './https-request.ts'

export type ProvisioningService = { readonly endpoint: string; readonly idScope: string }
export type EnrolmentGroup = ProvisioningService & { readonly groupKey: string }
/** The device's name in its hub: its registration id, unless an individual enrolment says otherwise. */
export type Assignment = { readonly deviceId: string; readonly hubHost: string }
export type ProvisionedDevice = Assignment & { readonly key: string }
/** What a device proves who it is with. */
export type Attestation = { readonly key: string } | { readonly certificate: string; readonly privateKey: string }

/** The service refused, or did not assign a hub in time. `retryable` says whether trying again can help. */
export class ProvisioningError extends Error {
  override readonly name = 'ProvisioningError'
  readonly retryable: boolean
  constructor(message: string, retryable: boolean, options?: ErrorOptions) {
    super(message, options)
    this.retryable = retryable
  }
}

const apiVersion = '2021-06-01'
const tokenMs = 600_000
/** The service assigns within seconds; its quota lets thousands wait. */
const pollsMax = 60
const pollMs = 1_000
/** Registrations under way at once. */
const socketsMax = 16

const Operation = z.looseObject({
  operationId: z.string().optional(),
  status: z.string(),
  registrationState: z
    .looseObject({ assignedHub: z.string().optional(), deviceId: z.string().optional(), errorMessage: z.string().optional() })
    .optional(),
})

/** The key of one device, as every provisioning client derives it. */
export function deviceKeyOf(groupKey: string, registrationId: string): string {
  return createHmac('sha256', Buffer.from(groupKey, 'base64')).update(registrationId).digest('base64')
}

/** One device, by what is its own. @throws ProvisioningError */
export async function provisionDevice(
  service: ProvisioningService,
  registrationId: string,
  attestation: Attestation,
  ca?: string,
): Promise<Assignment> {
  const proof = 'key' in attestation ? {} : { cert: attestation.certificate, key: attestation.privateKey }
  const agent = new https.Agent({ keepAlive: true, ...proof, ...(ca === undefined ? {} : { ca }) })
  try {
    return await provision(service, registrationId, 'key' in attestation ? attestation.key : undefined, agent)
  } finally {
    agent.destroy()
  }
}

/** @throws ProvisioningError */
export async function provisionDevices(
  group: EnrolmentGroup,
  registrationIds: readonly string[],
  ca?: string,
): Promise<ProvisionedDevice[]> {
  const agent = new https.Agent({ keepAlive: true, maxSockets: socketsMax, ...(ca === undefined ? {} : { ca }) })
  try {
    const waiting = [...registrationIds.keys()]
    const devices: ProvisionedDevice[] = []
    const worker = async () => {
      for (let index = waiting.shift(); index !== undefined; index = waiting.shift()) {
        const key = deviceKeyOf(group.groupKey, registrationIds[index]!)
        devices[index] = { ...(await provision(group, registrationIds[index]!, key, agent)), key }
      }
    }
    await Promise.all(Array.from({ length: socketsMax }, worker))
    return devices
  } finally {
    agent.destroy()
  }
}

/** @param key undefined when the agent shows a certificate */
async function provision(
  { endpoint, idScope }: ProvisioningService,
  registrationId: string,
  key: string | undefined,
  agent: https.Agent,
): Promise<Assignment> {
  const resource = `${idScope}/registrations/${registrationId}`
  const base = `https://${endpoint}/${idScope}/registrations/${encodeURIComponent(registrationId)}`
  const ask = async (method: string, path: string, body: string) => {
    const authorization = key === undefined ? undefined : sharedAccessSignature(resource, key, Date.now() + tokenMs, 'registration')
    for (let attempt = 1; ; attempt++) {
      const answer = await httpsRequest(`${base}${path}?api-version=${apiVersion}`, { method, authorization, body, agent }).catch(
        (error: Error) => {
          throw new ProvisioningError(`'${endpoint}' cannot be reached for '${registrationId}': ${error.message}`, true, { cause: error })
        },
      )
      // 429 is the service's way of spreading a fleet's first minutes.
      if (answer.status !== 429 || attempt >= pollsMax) return answer
      await delay((answer.retryAfterS ?? 1) * 1000)
    }
  }
  let { status, text } = await ask('PUT', '/register', JSON.stringify({ registrationId }))
  for (let poll = 0; poll < pollsMax; poll++) {
    if (status >= 300)
      throw new ProvisioningError(`'${endpoint}' answered ${status} for '${registrationId}': ${text.slice(0, 300)}`, status >= 500)
    const operation = Operation.parse(JSON.parse(text))
    const { assignedHub, deviceId = registrationId, errorMessage } = operation.registrationState ?? {}
    if (operation.status === 'assigned' && assignedHub) return { deviceId, hubHost: assignedHub }
    if (operation.status === 'failed' || operation.status === 'disabled')
      throw new ProvisioningError(`'${registrationId}' was not assigned to a hub: ${errorMessage ?? operation.status}`, false)
    await delay(pollMs)
    ;({ status, text } = await ask('GET', `/operations/${encodeURIComponent(operation.operationId ?? '')}`, ''))
  }
  throw new ProvisioningError(`'${registrationId}' was not assigned to a hub within ${pollsMax} s`, true)
}
