/** The hub, opened from its folder: identities, sessions, what waits for devices and back ends, jobs and configurations. */
import { X509Certificate } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import type { ClosingStack } from './closing-stack.ts'
import type { CloudSettings } from './cloud-settings.ts'
import type { CloudState } from './cloud-state.ts'
import type { Faults } from './faults.ts'
import { CloudToDevice } from './iot-hub/cloud-to-device.ts'
import { ConfigurationService } from './iot-hub/configuration-service.ts'
import type { MessageSink } from './iot-hub/hub-message.ts'
import { IotHub } from './iot-hub/iot-hub.ts'
import { JobService } from './iot-hub/job-service.ts'
import { Registry } from './iot-hub/registry.ts'
import { Identities } from './iot-hub/rest/identities.ts'
import type { SharedAccessPolicy } from './iot-hub/rest/request.ts'
import { Twins } from './iot-hub/rest/twins.ts'
import { ServiceQueue } from './iot-hub/service-queue.ts'
import { SessionStore } from './session-store.ts'
import { Throttles } from './iot-hub/throttles.ts'

export const hubName = 'localhost'

export type HubOptions = {
  readonly directory: string
  readonly settings: CloudSettings['iotHub']
  readonly keys: CloudState['keys']
  readonly faults: Faults
  readonly nowMs: () => number
  /** Where messages go; not called before a device is let in. */
  readonly sink: MessageSink
  /** True when some route wants to hear of twins, lives and connections. */
  readonly isNotified: () => boolean
  readonly report: (event: string, fields: Record<string, unknown>) => void
}

export type HubParts = {
  readonly hub: IotHub
  readonly policies: readonly SharedAccessPolicy[]
  readonly cloudToDevice: CloudToDevice
  readonly feedback: ServiceQueue
  readonly fileNotifications: ServiceQueue
  readonly throttles: Throttles
  readonly twins: Twins
  readonly identities: Identities
  readonly configurations: ConfigurationService
  readonly jobs: JobService
}

const rights: Readonly<Record<string, SharedAccessPolicy['rights']>> = {
  iothubowner: ['registryRead', 'registryWrite', 'service', 'device'],
  service: ['service'],
  device: ['device'],
  registryRead: ['registryRead'],
  registryReadWrite: ['registryRead', 'registryWrite'],
}

export async function openHub(options: HubOptions, opened: ClosingStack): Promise<HubParts> {
  const { directory, settings, keys, faults, nowMs, sink, isNotified, report } = options
  const policies = Object.entries(rights).map(([name, of]) => ({ name, key: keys[name as keyof CloudState['keys']], rights: of }))
  const authorities = await Promise.all(settings.certificateAuthorities.map(async (file) => new X509Certificate(await readFile(file))))
  const registry = await opened.own(Registry.open(directory, nowMs))
  const feedback = await opened.own(ServiceQueue.open(`${directory}/feedback.ndjson`, nowMs))
  const fileNotifications = await opened.own(ServiceQueue.open(`${directory}/file-notifications.ndjson`, nowMs))
  const cloudToDevice = await opened.own(
    CloudToDevice.open(directory, {
      nowMs,
      onFeedback: ({ deviceId, generationId, system }, statusCode) => {
        const originalMessageId = system.find(([name]) => name === 'mid')?.[1] ?? ''
        const record = {
          originalMessageId,
          deviceId,
          deviceGenerationId: generationId,
          statusCode,
          description: statusCode,
          enqueuedTimeUtc: new Date(nowMs()).toISOString(),
        }
        feedback.push(record).catch((error: unknown) => report('feedback-lost', { deviceId, error: String(error) }))
      },
    }),
  )
  const sessions = await opened.own(SessionStore.open(directory))
  const throttles = new Throttles(settings.throttling ? settings : undefined, nowMs)
  const hub = new IotHub({
    name: hubName,
    registry,
    sessions,
    cloudToDevice,
    sink,
    isNotified,
    policyKey: (name) => policies.find((policy) => policy.name === name && policy.rights.includes('device'))?.key,
    authorities,
    throttles,
    faults,
    nowMs,
    logRefusal: (reason, detail) => report('refused', { reason, detail }),
  })
  const twins = new Twins(hub, cloudToDevice, () => configurations.changed())
  const identities = new Identities({ hub, cloudToDevice, onChanged: () => configurations.changed() })
  const configurations = await opened.own(ConfigurationService.open(directory, { hub, twins, log: report }))
  const jobs = await opened.own(JobService.open(directory, { hub, twins, identities, nowMs, log: report }))
  return { hub, policies, cloudToDevice, feedback, fileNotifications, throttles, twins, identities, configurations, jobs }
}
