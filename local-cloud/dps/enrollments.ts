/** Enrolments: who may be provisioned, how he proves who he is, and what he becomes. */
import { createHmac, X509Certificate } from 'node:crypto'
import { z } from 'zod'
import { newKey } from '../security/shared-access.ts'
import { newEtag } from '../iot-hub/registry.ts'

const registrationId = z.string().regex(/^[A-Za-z0-9](?:[A-Za-z0-9\-_.:]{0,126}[A-Za-z0-9])?$/)
const Json = z.record(z.string(), z.unknown())

/** A certificate as clients send it: PEM, or the base64 of it. */
const Certificate = z.looseObject({ certificate: z.string().nullish(), info: z.unknown().optional() })
const Certificates = z.looseObject({ primary: Certificate.nullish(), secondary: Certificate.nullish() })

const Attestation = z.discriminatedUnion('type', [
  z.looseObject({
    type: z.literal('symmetricKey'),
    symmetricKey: z.looseObject({ primaryKey: z.string().nullish(), secondaryKey: z.string().nullish() }).nullish(),
  }),
  z.looseObject({
    type: z.literal('x509'),
    x509: z.looseObject({
      clientCertificates: Certificates.nullish(),
      signingCertificates: Certificates.nullish(),
    }),
  }),
])
export type Attestation = z.infer<typeof Attestation>

const common = {
  attestation: Attestation,
  capabilities: z.looseObject({ iotEdge: z.boolean().default(false) }).nullish(),
  iotHubHostName: z.string().nullish(),
  iotHubs: z.array(z.string()).nullish(),
  allocationPolicy: z.enum(['hashed', 'geoLatency', 'static', 'custom']).nullish(),
  initialTwin: z.looseObject({ tags: Json.nullish(), properties: z.looseObject({ desired: Json.nullish() }).nullish() }).nullish(),
  provisioningStatus: z.enum(['enabled', 'disabled']).default('enabled'),
  reprovisionPolicy: z
    .looseObject({ updateHubAssignment: z.boolean().default(true), migrateDeviceData: z.boolean().default(true) })
    .prefault({}),
  createdDateTimeUtc: z.string().optional(),
  lastUpdatedDateTimeUtc: z.string().optional(),
  etag: z.string().optional(),
}

export const Enrollment = z.looseObject({ registrationId, deviceId: z.string().nullish(), ...common })
export type Enrollment = z.infer<typeof Enrollment>
export const EnrollmentGroup = z.looseObject({ enrollmentGroupId: registrationId, ...common })
export type EnrollmentGroup = z.infer<typeof EnrollmentGroup>

/** Generates keys left empty, stamps times and a new ETag. */
export function stamped<Kind extends Enrollment | EnrollmentGroup>(enrollment: Kind, existing: Kind | undefined, nowMs: number): Kind {
  const time = new Date(nowMs).toISOString()
  const { attestation } = enrollment
  const kept = existing?.attestation.type === 'symmetricKey' ? existing.attestation.symmetricKey : undefined
  return {
    ...enrollment,
    attestation:
      attestation.type === 'symmetricKey'
        ? {
            type: 'symmetricKey',
            symmetricKey: {
              primaryKey: attestation.symmetricKey?.primaryKey || kept?.primaryKey || newKey(),
              secondaryKey: attestation.symmetricKey?.secondaryKey || kept?.secondaryKey || newKey(),
            },
          }
        : attestation,
    createdDateTimeUtc: existing?.createdDateTimeUtc ?? time,
    lastUpdatedDateTimeUtc: time,
    etag: newEtag(),
  }
}

/** Without secrets, as the service answers; `attestationMechanism` gives them on request. */
export function withoutKeys<Kind extends Enrollment | EnrollmentGroup>(enrollment: Kind): Kind {
  if (enrollment.attestation.type !== 'symmetricKey') return enrollment
  return { ...enrollment, attestation: { type: 'symmetricKey' } }
}

/** The key of a device of a group (concepts-symmetric-key-attestation.md). */
export function derivedKey(groupKey: string, id: string): string {
  return createHmac('sha256', Buffer.from(groupKey, 'base64')).update(id).digest('base64')
}

export function symmetricKeys({ attestation }: Enrollment | EnrollmentGroup): string[] {
  if (attestation.type !== 'symmetricKey') return []
  return [attestation.symmetricKey?.primaryKey, attestation.symmetricKey?.secondaryKey].filter((key): key is string => !!key)
}

/** @throws when one of them is no certificate */
export function certificatesOf({ attestation }: Enrollment | EnrollmentGroup): { client: X509Certificate[]; signing: X509Certificate[] } {
  if (attestation.type !== 'x509') return { client: [], signing: [] }
  const read = (certificates: z.infer<typeof Certificates> | null | undefined) =>
    [certificates?.primary?.certificate, certificates?.secondary?.certificate]
      .filter((text): text is string => !!text)
      .map((text) => new X509Certificate(text.includes('-----BEGIN') ? text : decode(text)))
  return { client: read(attestation.x509.clientCertificates), signing: read(attestation.x509.signingCertificates) }
}

/** Base64 of DER, or base64 of PEM. */
function decode(text: string): Buffer {
  return Buffer.from(text.replaceAll(/\s/g, ''), 'base64')
}
