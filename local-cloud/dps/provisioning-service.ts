/**
 * Device provisioning: a device that proves it belongs to an enrolment becomes a device of the hub, with the twin the
 * enrolment gives it, and is told where the hub is.
 */
import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { z } from 'zod'
import type { IotHub } from '../iot-hub/iot-hub.ts'
import { newEtag } from '../iot-hub/registry.ts'
import type { Authentication, StoredIdentity } from '../iot-hub/registry.ts'
import { DocumentStore } from '../log/document-store.ts'
import type { PeerCertificate } from '../security/peer-certificate.ts'
import { isSignedBy, parseAccessToken } from '../security/shared-access.ts'
import { certificatesOf, derivedKey, Enrollment, EnrollmentGroup, symmetricKeys } from './enrollments.ts'

const Registration = z.object({
  registrationId: z.string(),
  deviceId: z.string(),
  assignedHub: z.string(),
  status: z.enum(['assigned', 'disabled', 'failed']),
  substatus: z.string(),
  enrollmentGroupId: z.string().optional(),
  payload: z.unknown().optional(),
  createdDateTimeUtc: z.string(),
  lastUpdatedDateTimeUtc: z.string(),
  etag: z.string(),
  errorCode: z.number().optional(),
  errorMessage: z.string().optional(),
})
export type Registration = z.infer<typeof Registration>

/** A request that is refused: the codes of the device API. Whether trying again helps follows from the status. */
export class ProvisioningError extends Error {
  override readonly name = 'ProvisioningError'
  readonly status: number
  readonly errorCode: number
  constructor(status: number, errorCode: number, message: string) {
    super(message)
    this.status = status
    this.errorCode = errorCode
  }
}

export type ProvisioningOptions = {
  readonly idScope: string
  readonly hub: IotHub
  /** Name of the hub as devices connect to it, with its port. */
  readonly hubHost: () => string
  readonly nowMs: () => number
  readonly refused: (reason: string, detail: string) => void
}

/** When a device should ask again how its registration went. */
export const retryAfterS = 1

/** What a device shows of itself. */
export type Attested = { readonly registrationId: string; readonly token: string; readonly certificate: () => PeerCertificate | undefined }

type Match = {
  readonly enrollment: Enrollment | EnrollmentGroup
  readonly groupId: string | undefined
  readonly deviceId: string
  readonly authentication: Authentication
}

export class ProvisioningService {
  readonly enrollments: DocumentStore<Enrollment>
  readonly groups: DocumentStore<EnrollmentGroup>
  readonly registrations: DocumentStore<Registration>
  readonly #options: ProvisioningOptions
  readonly #operations = new Map<string, Registration>()

  private constructor(stores: Pick<ProvisioningService, 'enrollments' | 'groups' | 'registrations'>, options: ProvisioningOptions) {
    this.enrollments = stores.enrollments
    this.groups = stores.groups
    this.registrations = stores.registrations
    this.#options = options
  }

  static async open(directory: string, options: ProvisioningOptions): Promise<ProvisioningService> {
    const [enrollments, groups, registrations] = await Promise.all([
      DocumentStore.open(join(directory, 'enrollments.ndjson'), (value) => Enrollment.parse(value)),
      DocumentStore.open(join(directory, 'groups.ndjson'), (value) => EnrollmentGroup.parse(value)),
      DocumentStore.open(join(directory, 'registrations.ndjson'), (value) => Registration.parse(value)),
    ])
    return new ProvisioningService({ enrollments, groups, registrations }, options)
  }

  get idScope(): string {
    return this.#options.idScope
  }

  /** @throws ProvisioningError for devices of another service */
  requireScope(idScope: string | undefined): void {
    if (idScope !== this.idScope) throw new ProvisioningError(401, 401002, `the id scope '${idScope}' is not '${this.idScope}'`)
  }

  get hubHost(): string {
    return this.#options.hubHost()
  }

  refused(reason: string, detail: string): void {
    this.#options.refused(reason, detail)
  }

  /** Whether a device may speak to the service at all. @throws ProvisioningError */
  authenticate(attested: Attested): void {
    this.#match(attested)
  }

  /** Starts a registration. @returns the operation to ask after @throws ProvisioningError */
  async register(attested: Attested, payload?: unknown): Promise<string> {
    const match = this.#match(attested)
    const operationId = `4.${randomUUID().replaceAll('-', '').slice(0, 16)}.${randomUUID()}`
    const registration = await this.#assign(attested.registrationId, match, payload)
    this.#operations.set(operationId, registration)
    setTimeout(() => this.#operations.delete(operationId), 600_000).unref()
    return operationId
  }

  /** @throws ProvisioningError */
  operation(attested: Attested, operationId: string): Registration {
    this.#match(attested)
    const registration = this.#operations.get(operationId)
    if (registration?.registrationId !== attested.registrationId)
      throw new ProvisioningError(404, 404204, `there is no operation '${operationId}'`)
    return registration
  }

  async #assign(registrationId: string, { enrollment, groupId, deviceId, authentication }: Match, payload: unknown): Promise<Registration> {
    const { hub, nowMs } = this.#options
    const hubHost = this.#options.hubHost()
    const time = new Date(nowMs()).toISOString()
    const existing = this.registrations.get(registrationId)
    const base = {
      registrationId,
      deviceId,
      createdDateTimeUtc: existing?.createdDateTimeUtc ?? time,
      lastUpdatedDateTimeUtc: time,
      etag: newEtag(),
    }
    const wanted = enrollment.iotHubs?.length ? enrollment.iotHubs : enrollment.iotHubHostName ? [enrollment.iotHubHostName] : [hubHost]
    let registration: Registration
    if (enrollment.provisioningStatus === 'disabled') {
      registration = { ...base, assignedHub: '', status: 'disabled', substatus: 'initialAssignment' }
    } else if (!wanted.some((name) => isSameHub(name, hubHost))) {
      const errorMessage = `the enrolment names the hubs ${wanted.join(', ')}, none of which is linked; this one is '${hubHost}'`
      registration = { ...base, assignedHub: '', status: 'failed', substatus: 'initialAssignment', errorCode: 400207, errorMessage }
    } else {
      const known = hub.registry.get(deviceId)
      const identity = await hub.registry.put(deviceId, undefined, { authentication, isEdge: enrollment.capabilities?.iotEdge })
      const isReset = known !== undefined && existing !== undefined && !enrollment.reprovisionPolicy.migrateDeviceData
      if (!known) hub.announceLife(identity, 'createDeviceIdentity')
      if (!known || isReset) await this.#giveTwin(identity, enrollment, isReset)
      const substatus = !existing ? 'initialAssignment' : isReset ? 'deviceDataReset' : 'deviceDataMigrated'
      registration = { ...base, assignedHub: hubHost, status: 'assigned', substatus, ...(payload === undefined ? {} : { payload }) }
    }
    if (groupId !== undefined) registration = { ...registration, enrollmentGroupId: groupId }
    await this.registrations.set(registrationId, registration)
    return registration
  }

  async #giveTwin(identity: StoredIdentity, { initialTwin }: Enrollment | EnrollmentGroup, replace: boolean): Promise<void> {
    const desired = initialTwin?.properties?.desired ?? undefined
    const tags = initialTwin?.tags ?? undefined
    if (tags || desired || replace) await this.#options.hub.patchTwin(identity, { tags: tags ?? {}, desired: desired ?? {} }, { replace })
  }

  /** The enrolment that a device belongs to, once it has proved it. @throws ProvisioningError */
  #match(attested: Attested): Match {
    const { registrationId } = attested
    const individual = this.enrollments.get(registrationId)
    if (individual) {
      const authentication = this.#prove(individual, attested, (key) => key)
      if (!authentication) throw this.#unauthorized(`the proof of '${registrationId}' does not match its enrolment`)
      return { enrollment: individual, groupId: undefined, deviceId: individual.deviceId || registrationId, authentication }
    }
    for (const [groupId, group] of this.groups.entries()) {
      const authentication = this.#prove(group, attested, (key) => derivedKey(key, registrationId))
      if (authentication) return { enrollment: group, groupId, deviceId: registrationId, authentication }
    }
    throw this.#unauthorized(`'${registrationId}' belongs to no enrolment`)
  }

  #prove(
    enrollment: Enrollment | EnrollmentGroup,
    { registrationId, token: text, certificate }: Attested,
    keyOf: (key: string) => string,
  ): Authentication | undefined {
    const { idScope, nowMs } = this.#options
    if (enrollment.attestation.type === 'symmetricKey') {
      const token = parseAccessToken(text)
      const [primaryKey, secondaryKey] = symmetricKeys(enrollment).map(keyOf)
      if (
        !token ||
        token.expiresMs <= nowMs() ||
        token.resource.toLowerCase() !== `${idScope}/registrations/${registrationId}`.toLowerCase()
      )
        return undefined
      const isSigned = [primaryKey, secondaryKey].some((key) => key !== undefined && isSignedBy(token, Buffer.from(key, 'base64')))
      return isSigned ? { type: 'sas', primaryKey: primaryKey!, secondaryKey: secondaryKey ?? primaryKey! } : undefined
    }
    const shown = certificate()
    if (!shown?.isValidAt(nowMs()) || shown.commonName !== registrationId) return undefined
    const { client, signing } = certificatesOf(enrollment)
    const isKnown =
      client.some(({ fingerprint256 }) => fingerprint256.replaceAll(':', '') === shown.sha256) || shown.isIssuedBy(signing, nowMs())
    return isKnown ? { type: 'selfSigned', primaryThumbprint: shown.sha256, secondaryThumbprint: shown.sha256 } : undefined
  }

  #unauthorized(message: string): ProvisioningError {
    this.#options.refused('dps-unauthorized', message)
    return new ProvisioningError(401, 401002, 'Unauthorized')
  }

  async close(): Promise<void> {
    await Promise.all([this.enrollments.close(), this.groups.close(), this.registrations.close()])
  }
}

/** A hub is meant with its port or without. */
function isSameHub(name: string, host: string): boolean {
  return name.toLowerCase() === host.toLowerCase() || name.toLowerCase() === host.replace(/:\d+$/, '').toLowerCase()
}

/** A registration as devices see it, while it lasts and when it has ended. */
export function operationView(operationId: string, { registrationId, deviceId, assignedHub, ...rest }: Registration) {
  return {
    operationId,
    status: rest.status,
    registrationState: { registrationId, assignedHub, deviceId, ...rest },
  }
}

/** Devices may send `{registrationId, payload}`; the payload is for custom allocation and comes back as it is. */
export function payloadOf(bytes: Buffer): unknown {
  try {
    const body: unknown = JSON.parse(bytes.toString())
    return typeof body === 'object' && body !== null && 'payload' in body ? body.payload : undefined
  } catch {
    return undefined
  }
}
