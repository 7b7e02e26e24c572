/** Identities and twins as the REST API writes and reads them. */
import { z } from 'zod'
import { HubError } from '../hub-errors.ts'
import type { IotHub } from '../iot-hub.ts'
import type { Authentication, IdentitySettings, StoredIdentity } from '../registry.ts'
import { sectionView } from '../twin.ts'

export const IdentityBody = z.looseObject({
  deviceId: z.string().optional(),
  moduleId: z.string().optional(),
  managedBy: z.string().nullish(),
  status: z.enum(['enabled', 'disabled']).nullish(),
  statusReason: z.string().max(128).nullish(),
  deviceScope: z.string().nullish(),
  parentScopes: z.array(z.string()).nullish(),
  capabilities: z.looseObject({ iotEdge: z.boolean().optional() }).nullish(),
  authentication: z
    .looseObject({
      type: z.enum(['sas', 'selfSigned', 'certificateAuthority', 'none']).nullish(),
      symmetricKey: z.looseObject({ primaryKey: z.string().nullish(), secondaryKey: z.string().nullish() }).nullish(),
      x509Thumbprint: z.looseObject({ primaryThumbprint: z.string().nullish(), secondaryThumbprint: z.string().nullish() }).nullish(),
    })
    .nullish(),
})
export type IdentityBody = z.infer<typeof IdentityBody>

export function settingsOf(body: IdentityBody): IdentitySettings {
  return {
    managedBy: body.managedBy ?? undefined,
    status: body.status ?? undefined,
    statusReason: body.statusReason ?? undefined,
    isEdge: body.capabilities?.iotEdge,
    deviceScope: body.deviceScope ?? undefined,
    parentScopes: body.parentScopes ?? undefined,
    authentication: authenticationOf(body.authentication),
  }
}

function authenticationOf(body: IdentityBody['authentication']): Authentication | undefined {
  if (!body) return undefined
  const { type, symmetricKey, x509Thumbprint } = body
  const prints = [x509Thumbprint?.primaryThumbprint ?? '', x509Thumbprint?.secondaryThumbprint ?? '']
  if (type === 'certificateAuthority') return { type }
  if (type === 'selfSigned' || (type !== 'sas' && prints.some((print) => print !== ''))) {
    const [primaryThumbprint, secondaryThumbprint] = prints.map(checkThumbprint) as [string, string]
    if (primaryThumbprint === '' && secondaryThumbprint === '') throw new HubError('ArgumentInvalid', 'selfSigned needs a thumbprint')
    // One thumbprint counts for both, as in the service.
    return {
      type: 'selfSigned',
      primaryThumbprint: primaryThumbprint || secondaryThumbprint,
      secondaryThumbprint: secondaryThumbprint || primaryThumbprint,
    }
  }
  if (!symmetricKey && type !== 'sas') return undefined
  return { type: 'sas', primaryKey: checkKey(symmetricKey?.primaryKey ?? ''), secondaryKey: checkKey(symmetricKey?.secondaryKey ?? '') }
}

function checkThumbprint(text: string): string {
  const print = text.replaceAll(/[\s:]/g, '').toUpperCase()
  if (print !== '' && !/^([0-9A-F]{40}|[0-9A-F]{64})$/.test(print))
    throw new HubError('ArgumentInvalid', 'a thumbprint has 40 or 64 hexadecimal digits')
  return print
}

function checkKey(text: string): string {
  const bytes = Buffer.from(text, 'base64')
  if (text !== '' && (bytes.toString('base64').replace(/=+$/, '') !== text.replace(/=+$/, '') || bytes.length < 16 || bytes.length > 64))
    throw new HubError('ArgumentInvalid', 'a symmetric key is 16 to 64 bytes in base64')
  return text
}

const never = '0001-01-01T00:00:00'
const timeOf = (ms: number) => (ms === 0 ? never : new Date(ms).toISOString())

export function identityView(identity: StoredIdentity, hub: IotHub, pendingCount: number) {
  const { deviceId, moduleId, managedBy, generationId, etag, status, statusReason, statusUpdatedMs, isEdge, deviceScope, parentScopes } =
    identity
  const activity = hub.activityOf(identity)
  return {
    deviceId,
    ...(moduleId === undefined ? {} : { moduleId, managedBy: managedBy ?? '' }),
    generationId,
    etag,
    connectionState: hub.isConnected(identity) ? 'Connected' : 'Disconnected',
    status,
    statusReason: statusReason ?? null,
    connectionStateUpdatedTime: timeOf(activity.connectionChangedMs),
    statusUpdatedTime: timeOf(statusUpdatedMs),
    lastActivityTime: timeOf(activity.lastSeenMs),
    cloudToDeviceMessageCount: pendingCount,
    authentication: authenticationView(identity.authentication),
    ...(moduleId === undefined ? { capabilities: { iotEdge: isEdge } } : {}),
    ...(deviceScope === undefined ? {} : { deviceScope, parentScopes }),
  }
}

function authenticationView(authentication: Authentication) {
  const { type } = authentication
  return {
    symmetricKey:
      type === 'sas'
        ? { primaryKey: authentication.primaryKey, secondaryKey: authentication.secondaryKey }
        : { primaryKey: null, secondaryKey: null },
    x509Thumbprint:
      type === 'selfSigned'
        ? { primaryThumbprint: authentication.primaryThumbprint, secondaryThumbprint: authentication.secondaryThumbprint }
        : { primaryThumbprint: null, secondaryThumbprint: null },
    type,
  }
}

/** `etag` is the identity's in the document's `deviceEtag`, the twin's in `etag`. */
export function twinView(identity: StoredIdentity, hub: IotHub, pendingCount: number) {
  const {
    deviceId,
    moduleId,
    etag,
    status,
    statusReason,
    statusUpdatedMs,
    isEdge,
    authentication,
    configurations,
    deviceScope,
    parentScopes,
    twin,
  } = identity
  const thumbprints = authenticationView(authentication).x509Thumbprint
  return {
    deviceId,
    ...(moduleId === undefined ? {} : { moduleId }),
    etag: twin.etag,
    deviceEtag: etag,
    status,
    statusReason: statusReason ?? null,
    statusUpdateTime: timeOf(statusUpdatedMs),
    connectionState: hub.isConnected(identity) ? 'Connected' : 'Disconnected',
    lastActivityTime: timeOf(hub.activityOf(identity).lastSeenMs),
    cloudToDeviceMessageCount: pendingCount,
    authenticationType: authentication.type,
    x509Thumbprint: thumbprints,
    modelId: twin.modelId,
    version: twin.version,
    tags: twin.tags,
    properties: { desired: sectionView(twin.desired, { metadata: true }), reported: sectionView(twin.reported, { metadata: true }) },
    capabilities: { iotEdge: isEdge },
    configurations,
    ...(deviceScope === undefined ? {} : { deviceScope, parentScopes }),
  }
}
