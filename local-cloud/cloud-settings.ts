/**
 * What one sets up in Azure before clients connect: tier, event hubs, message routes, certificate authorities. Read once,
 * from a file; everything has a default, so that an empty file is a working cloud.
 */
import { readFile } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { z } from 'zod'
import { tiers } from './iot-hub/throttles.ts'
import type { Tier } from './iot-hub/throttles.ts'

const entityName = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,254}$/)
const containerName = z.string().regex(/^[a-z0-9](?:-?[a-z0-9]){2,62}$/)
const consumerGroups = z.array(z.string().regex(/^[A-Za-z0-9._-]{1,50}$/)).max(20)
const retention = z
  .object({ hours: z.number().positive().max(168).default(24), megabytes: z.number().int().min(16).default(512) })
  .prefault({})

const EventHubSettings = z.strictObject({
  name: entityName,
  partitions: z.number().int().min(1).max(32).default(4),
  consumerGroups: consumerGroups.default([]),
  retention,
})
export type EventHubSettings = z.infer<typeof EventHubSettings>

const RouteSettings = z.strictObject({
  name: z.string().min(1).max(64),
  source: z.enum(['DeviceMessages', 'TwinChangeEvents', 'DeviceLifecycleEvents', 'DeviceConnectionStateEvents']).default('DeviceMessages'),
  condition: z.string().default('true'),
  /** `events` is the built-in endpoint. */
  endpoints: z.array(z.string()).min(1),
  isEnabled: z.boolean().default(true),
})

const EndpointSettings = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('event-hub'), name: entityName, eventHub: entityName }),
  z.strictObject({ kind: z.literal('queue'), name: entityName, queue: containerName }),
  z.strictObject({
    kind: z.literal('storage'),
    name: entityName,
    container: containerName,
    batchSeconds: z.number().int().min(1).max(720).default(60),
    batchBytes: z
      .number()
      .int()
      .min(1024)
      .max(500 * 1024 * 1024)
      .default(100 * 1024 * 1024),
  }),
])
export type EndpointSettings = z.infer<typeof EndpointSettings>

const EnrollmentGroup = z.strictObject({ edge: z.boolean().default(false), tags: z.record(z.string(), z.unknown()).default({}) })

export const CloudSettings = z
  .strictObject({
    iotHub: z
      .strictObject({
        tier: z.enum(Object.keys(tiers) as [Tier, ...Tier[]]).default('S1'),
        units: z.number().int().min(1).max(200).default(1),
        /** Off by default: a laptop is not billed. */
        throttling: z.boolean().default(false),
        partitions: z.number().int().min(2).max(32).default(4),
        retention,
        consumerGroups: consumerGroups.default([]),
        fileUploadContainer: containerName.default('device-uploads'),
        /** PEM files of authorities that sign certificates of devices; beside the settings file when relative. */
        certificateAuthorities: z.array(z.string()).default([]),
        endpoints: z.array(EndpointSettings).max(10).default([]),
        routes: z.array(RouteSettings).max(100).default([]),
        fallbackRoute: z.boolean().default(true),
      })
      .prefault({}),
    eventHubs: z.array(EventHubSettings).max(100).default([]),
    dps: z.strictObject({ group: EnrollmentGroup.prefault({}) }).prefault({}),
  })
  .superRefine(({ iotHub, eventHubs }, context) => {
    const known = new Set(['events', ...iotHub.endpoints.map(({ name }) => name)])
    for (const { name, endpoints } of iotHub.routes)
      for (const endpoint of endpoints)
        if (!known.has(endpoint))
          context.addIssue({ code: 'custom', path: ['iotHub', 'routes', name], message: `there is no endpoint '${endpoint}'` })
    for (const endpoint of iotHub.endpoints)
      if (endpoint.kind === 'event-hub' && !eventHubs.some(({ name }) => name === endpoint.eventHub))
        context.addIssue({
          code: 'custom',
          path: ['iotHub', 'endpoints', endpoint.name],
          message: `there is no event hub '${endpoint.eventHub}'`,
        })
  })
export type CloudSettings = z.infer<typeof CloudSettings>
export type RouteSettings = z.infer<typeof RouteSettings>

/** Settings that cannot be used; whoever wrote them must mend them. */
export class CloudSettingsError extends Error {
  override readonly name = 'CloudSettingsError'
}

/** @throws CloudSettingsError with every mistake */
export async function readCloudSettings(path: string): Promise<CloudSettings> {
  let value: unknown
  try {
    value = JSON.parse(await readFile(path, 'utf8'))
  } catch (error) {
    throw new CloudSettingsError(`the cloud's settings '${path}' cannot be read: ${(error as Error).message}`)
  }
  const parsed = CloudSettings.safeParse(value)
  if (!parsed.success) throw new CloudSettingsError(`the cloud's settings '${path}' are wrong:\n${z.prettifyError(parsed.error)}`)
  const { iotHub } = parsed.data
  const certificateAuthorities = iotHub.certificateAuthorities.map((file) => resolve(dirname(path), file))
  return { ...parsed.data, iotHub: { ...iotHub, certificateAuthorities } }
}
