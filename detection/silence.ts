/**
 * Which parts of the plant have fallen silent, told at the highest part that explains it: when everything behind a
 * gateway stops at once, it is the gateway, not five hundred devices. Pure; asked again at the same time it says the same.
 */
import type { AlertScope, Evidence } from '../contract/alert.ts'
import { alertIdOf } from './alert-id.ts'
import { detectorVersion } from './settings.ts'

export const silenceSettings = {
  /** Shorter silences are nobody's concern; longer ones are by the device's own habit. */
  afterMsMin: 60_000,
  /** Silence, in pauses that are usual for the device. */
  usualGaps: 4,
  /** What stops for one reason stops within this time. */
  togetherMs: 30_000,
  /** Devices named in an alert of a gateway or a site. */
  namesMax: 100,
} as const

export type HeardDevice = {
  readonly deviceId: string
  readonly modelId: string
  readonly lastSeenMs: number
  /** The longest pause between two messages that is usual for it. */
  readonly usualGapMs: number
  /** Empty when it speaks to the cloud itself. */
  readonly gatewayId: string
  /** Empty when nobody said where it stands. */
  readonly site: string
}

export type SilentPart = {
  /** Device, gateway or site; `plant` for all of it. */
  readonly name: string
  readonly scope: AlertScope | undefined
  readonly modelId: string
  readonly lastSeenMs: number
  readonly afterMs: number
  readonly deviceIds: readonly string[]
}

type Node = { readonly name: string; readonly scope: AlertScope | undefined; readonly devices: HeardDevice[]; readonly children: Node[] }

export function silentAfterMs({ usualGapMs }: { readonly usualGapMs: number }): number {
  return Math.max(silenceSettings.afterMsMin, usualGapMs * silenceSettings.usualGaps)
}

/**
 * @param watchedSinceMs silence is counted from here at most: while nobody listened, nobody was silent
 */
export function silentParts(devices: readonly HeardDevice[], watchedSinceMs: number, nowMs: number): SilentPart[] {
  const silentForMs = (device: HeardDevice) => nowMs - Math.max(device.lastSeenMs, watchedSinceMs)
  const isSilent = (device: HeardDevice) => silentForMs(device) > silentAfterMs(device)
  return partsOf(plantTree(devices))

  function partsOf(node: Node): SilentPart[] {
    const silent = node.devices.filter(isSilent)
    if (silent.length === 0) return []
    if (node.children.length === 0) return silent.map(deviceAlone)
    const stoppedMs = Math.max(...silent.map(({ lastSeenMs }) => lastSeenMs))
    const isAnybodyAlive = node.devices.some(({ lastSeenMs }) => lastSeenMs > stoppedMs + silenceSettings.togetherMs)
    // A part with one child is explained by the child.
    if (isAnybodyAlive || node.children.length === 1) return node.children.flatMap(partsOf)
    if (silent.length * 2 > node.devices.length) return [whole(node, silent, stoppedMs)]
    // Nobody there has spoken since, and the others are not late yet: it may be all of them. One more silence decides.
    return silent.every((device) => silentForMs(device) < 2 * silentAfterMs(device)) ? [] : node.children.flatMap(partsOf)
  }
}

function deviceAlone(device: HeardDevice): SilentPart {
  const { deviceId, modelId, lastSeenMs } = device
  return { name: deviceId, scope: undefined, modelId, lastSeenMs, afterMs: silentAfterMs(device), deviceIds: [deviceId] }
}

function whole({ name, scope }: Node, silent: readonly HeardDevice[], lastSeenMs: number): SilentPart {
  const afterMs = Math.min(...silent.map(silentAfterMs))
  return { name, scope, modelId: '', lastSeenMs, afterMs, deviceIds: silent.map(({ deviceId }) => deviceId) }
}

/** Plant, sites, gateways, devices; what has no site or no gateway hangs one higher, as does a gateway of several sites. */
function plantTree(devices: readonly HeardDevice[]): Node {
  const leaf = (device: HeardDevice): Node => ({ name: device.deviceId, scope: undefined, devices: [device], children: [] })
  const underGateways = [...groupsOf(devices, ({ gatewayId }) => gatewayId)].flatMap(([gatewayId, group]) => {
    const sites = new Set(group.map(({ site }) => site))
    const nodes: Node[] =
      gatewayId === '' ? group.map(leaf) : [{ name: gatewayId, scope: 'gateway', devices: group, children: group.map(leaf) }]
    return nodes.map((node) => ({ node, site: gatewayId === '' ? node.devices[0]!.site : sites.size === 1 ? group[0]!.site : '' }))
  })
  const children = [...groupsOf(underGateways, ({ site }) => site)].flatMap(([site, members]): Node[] => {
    const nodes = members.map(({ node }) => node)
    return site === '' ? nodes : [{ name: site, scope: 'site', devices: nodes.flatMap((node) => node.devices), children: nodes }]
  })
  return { name: 'plant', scope: 'plant', devices: [...devices], children }
}

function groupsOf<Item>(items: readonly Item[], keyOf: (item: Item) => string): Map<string, Item[]> {
  const groups = new Map<string, Item[]>()
  for (const item of items) {
    const group = groups.get(keyOf(item))
    if (group) group.push(item)
    else groups.set(keyOf(item), [item])
  }
  return groups
}

/** One alert a silence: the same last message gives the same id. */
export function silenceAlertId({ name, scope, lastSeenMs }: SilentPart): string {
  return alertIdOf(name, scope ?? '', 'no-data', lastSeenMs)
}

/** Why silence is an alert. Amounts are seconds. */
export function silenceEvidence({ lastSeenMs, afterMs }: SilentPart, nowMs: number): Evidence {
  const silentS = (nowMs - lastSeenMs) / 1000
  const expectedMax = afterMs / 1000
  return {
    detector: 'silence',
    detectorVersion,
    configurationVersion: 'standard',
    reason: 'no-data',
    direction: 'high',
    observed: silentS,
    expectedMin: 0,
    expectedMax,
    distance: (silentS - expectedMax) / expectedMax,
    severity: silentS / expectedMax,
    firstSeenMs: lastSeenMs,
    durationMs: nowMs - lastSeenMs,
    baselineFromMs: lastSeenMs,
    baselineReadings: 0,
    learning: [],
    suppressed: 0,
    window: { timesMs: [], values: [] },
    alsoMoving: [],
    before: '',
  }
}
