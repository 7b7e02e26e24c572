/** The topics that IoT Hub documents for devices and modules, and nothing else: parsing what comes, building what goes. */
import type { Subscription } from '../device-backend.ts'

export type PublishTopic =
  | { readonly kind: 'telemetry'; readonly deviceId: string; readonly moduleId: string | undefined; readonly bag: string }
  | { readonly kind: 'twin-get'; readonly requestId: string }
  | { readonly kind: 'twin-reported'; readonly requestId: string }
  | { readonly kind: 'method-response'; readonly status: number; readonly requestId: string }

/** What a client published to; undefined for anything not documented. */
export function parsePublishTopic(topic: string): PublishTopic | undefined {
  const telemetry = /^devices\/([^/]+)(?:\/modules\/([^/]+))?\/messages\/events(?:\/(.*))?$/.exec(topic)
  if (telemetry) {
    const [, deviceId, moduleId, bag = ''] = telemetry
    return { kind: 'telemetry', deviceId: deviceId!, moduleId, bag: bag.replace(/\/$/, '') }
  }
  const requestId = topic.startsWith('$iothub/') ? requestIdOf(topic) : undefined
  if (topic.startsWith('$iothub/twin/GET/?') && requestId !== undefined) return { kind: 'twin-get', requestId }
  if (topic.startsWith('$iothub/twin/PATCH/properties/reported/?') && requestId !== undefined) return { kind: 'twin-reported', requestId }
  const method = /^\$iothub\/methods\/res\/(-?\d+)\/\?/.exec(topic)
  if (method && requestId !== undefined) return { kind: 'method-response', status: Number(method[1]), requestId }
  return undefined
}

/** Whether a telemetry topic is the identity's own; some clients write ids percent-encoded. */
export function isOwnTopic(
  topic: { deviceId: string; moduleId: string | undefined },
  identity: { deviceId: string; moduleId: string | undefined },
): boolean {
  return isSameId(topic.deviceId, identity.deviceId) && isSameId(topic.moduleId, identity.moduleId)
}

function isSameId(written: string | undefined, id: string | undefined): boolean {
  if (written === id) return true
  return written !== undefined && id !== undefined && written.includes('%') && written === encodeURIComponent(id)
}

function requestIdOf(topic: string): string | undefined {
  return /[?&]\$rid=([^&]*)/.exec(topic)?.[1]
}

/** What a client may subscribe to as itself; undefined for anything else. */
export function parseSubscription(filter: string, identity: { deviceId: string; moduleId: string | undefined }): Subscription | undefined {
  switch (filter) {
    case '$iothub/twin/res/#':
      return 'twin-responses'
    case '$iothub/twin/PATCH/properties/desired/#':
      return 'desired-properties'
    case '$iothub/methods/POST/#':
      return 'methods'
  }
  const own = /^devices\/([^/]+)\/(?:modules\/([^/]+)\/)?(messages\/devicebound\/#|inputs\/#|#)$/.exec(filter)
  if (!own || !isOwnTopic({ deviceId: own[1]!, moduleId: own[2] }, identity)) return undefined
  if (identity.moduleId === undefined) return own[3] === 'messages/devicebound/#' ? 'cloud-to-device' : undefined
  return own[3] === 'messages/devicebound/#' ? undefined : 'module-inputs'
}

export const topics = {
  twinResponse: (status: number, requestId: string, version?: number) =>
    `$iothub/twin/res/${status}/?$rid=${requestId}${version === undefined ? '' : `&$version=${version}`}`,
  desired: (version: number) => `$iothub/twin/PATCH/properties/desired/?$version=${version}`,
  method: (name: string, requestId: string) => `$iothub/methods/POST/${encodeURIComponent(name)}/?$rid=${requestId}`,
  cloudToDevice: (deviceId: string, bag: string) => `devices/${deviceId}/messages/devicebound/${bag}`,
  // The SDK needs the slash behind the input's name also when the bag is empty.
  moduleInput: (deviceId: string, moduleId: string, input: string, bag: string) =>
    `devices/${deviceId}/modules/${moduleId}/inputs/${encodeURIComponent(input)}/${bag}`,
}
