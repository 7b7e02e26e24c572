/**
 * What the cloud knows of itself: a page for people, Prometheus metrics for machines, and the switches for faults. Reading
 * is open on loopback; changing needs the token that `connection.json` has.
 */
import { timingSafeEqual } from 'node:crypto'
import type { EventHub } from '../event-hubs/event-hub.ts'
import type { EventHubNodes } from '../event-hubs/event-hub-nodes.ts'
import { FaultRequest } from '../faults.ts'
import type { Faults } from '../faults.ts'
import type { HttpService } from '../http/http-entry.ts'
import { HubError } from '../iot-hub/hub-errors.ts'
import type { IotHub } from '../iot-hub/iot-hub.ts'
import { errorBody, headerOf, jsonBody } from '../iot-hub/rest/request.ts'
import type { RestRequest, RestResponse } from '../iot-hub/rest/request.ts'
import type { MessageRouter } from '../routing/message-router.ts'
import type { WebPubSub } from '../web-pubsub/web-pubsub.ts'
import { inspectorPage } from './page.ts'
import type { RecentMessages } from './recent-messages.ts'

export type InspectorOptions = {
  readonly hub: IotHub
  readonly eventHubs: ReadonlyMap<string, EventHub>
  readonly nodes: EventHubNodes
  readonly router: () => MessageRouter
  readonly webPubSub: WebPubSub
  readonly faults: Faults
  readonly recent: RecentMessages
  readonly connections: () => { mqtt: number; amqp: number }
  readonly token: string
}

const listMax = 500

export class Inspector implements HttpService {
  readonly #options: InspectorOptions

  constructor(options: InspectorOptions) {
    this.#options = options
  }

  owns(path: readonly string[]): boolean {
    return path.length === 0 || path[0] === 'millwright' || (path.length === 1 && path[0] === 'metrics')
  }

  handle(request: RestRequest): RestResponse {
    // A page of another site must not read this through a name that it has pointed at loopback.
    const host = (headerOf(request, 'host') ?? '').replace(/:\d+$/, '')
    if (!['localhost', '127.0.0.1', '[::1]'].includes(host)) return { status: 421 }
    try {
      return this.#route(request)
    } catch (error) {
      if (error instanceof HubError) return errorBody(error)
      throw error
    }
  }

  #route(request: RestRequest): RestResponse {
    const [, area, id] = request.path
    const { faults } = this.#options
    if (request.path[0] === 'metrics')
      return { status: 200, body: Buffer.from(this.#metrics()), headers: { 'content-type': 'text/plain; version=0.0.4; charset=utf-8' } }
    if (area === undefined) return { status: 200, body: Buffer.from(inspectorPage), headers: pageHeaders }
    if (area === 'state' && request.method === 'GET') return { status: 200, body: this.#state() }
    if (area === 'faults') {
      if (request.method === 'GET') return { status: 200, body: faults.list() }
      this.#authorise(request)
      if (request.method === 'POST') return { status: 201, body: faults.set(jsonBody(request, FaultRequest)) }
      if (request.method === 'DELETE') return faults.clear(id) ? { status: 204 } : { status: 404 }
    }
    throw new HubError('ResourceNotFound', `${request.method} ${request.url.pathname}`)
  }

  #authorise(request: RestRequest): void {
    const given = Buffer.from(/^Bearer (.+)$/.exec(headerOf(request, 'authorization') ?? '')?.[1] ?? '')
    const expected = Buffer.from(this.#options.token)
    if (given.length !== expected.length || !timingSafeEqual(given, expected))
      throw new HubError('IotHubUnauthorized', 'the token of the inspector is required: `Authorization: Bearer …`, see connection.json')
  }

  #state() {
    const { hub, eventHubs, nodes, router, webPubSub, faults, recent, connections } = this.#options
    const sessions = new Map(hub.sessions().map((session) => [session.name, session]))
    const devices = []
    for (const identity of hub.registry.devices()) {
      if (devices.length >= listMax) break
      const { deviceId, status, isEdge, authentication, twin } = identity
      devices.push({
        deviceId,
        status,
        isEdge,
        authentication: authentication.type,
        isConnected: sessions.has(deviceId),
        modelId: twin.modelId,
        tags: twin.tags,
        desired: twin.desired.values,
        reported: twin.reported.values,
      })
    }
    return {
      connections: { ...connections(), webPubSub: webPubSub.connectionCount },
      received: hub.receivedCount,
      metered: hub.meteredCount,
      devices,
      sessions: [...sessions.values()].slice(0, listMax),
      eventHubs: [...eventHubs.values()].map(({ name, log, consumerGroups }) => ({
        name,
        bytes: log.bytes,
        consumerGroups: [...consumerGroups],
        partitions: Array.from({ length: log.partitionCount }, (_, partition) => ({ partition, ...log.info(partition) })),
      })),
      readers: nodes.readers(),
      routes: { backlog: router().backlog(), dropped: router().droppedCount },
      refusals: Object.fromEntries(hub.refusals),
      faults: faults.list(),
      messages: recent.list(),
    }
  }

  #metrics(): string {
    const { hub, eventHubs, nodes, router, webPubSub, connections } = this.#options
    const lines: string[] = []
    const metric = (
      name: string,
      type: 'counter' | 'gauge',
      help: string,
      samples: [labels: Record<string, string | number>, value: number][],
    ) => {
      lines.push(`# HELP millwright_cloud_${name} ${help}`, `# TYPE millwright_cloud_${name} ${type}`)
      for (const [labels, value] of samples) {
        const text = Object.entries(labels).map(
          ([label, of]) => `${label}="${String(of).replaceAll(/[\\"\n]/g, (c) => (c === '\n' ? '\\n' : `\\${c}`))}"`,
        )
        lines.push(`millwright_cloud_${name}${text.length > 0 ? `{${text.join(',')}}` : ''} ${value}`)
      }
    }
    const open = connections()
    metric('connections', 'gauge', 'Open connections by protocol.', [
      [{ protocol: 'mqtt' }, open.mqtt],
      [{ protocol: 'amqp' }, open.amqp],
      [{ protocol: 'web-pubsub' }, webPubSub.connectionCount],
    ])
    metric('devices_connected', 'gauge', 'Devices and modules with a session.', [[{}, hub.connectedCount]])
    metric('messages_received_total', 'counter', 'Device-to-cloud messages taken since the start.', [[{}, hub.receivedCount]])
    metric(
      'refusals_total',
      'counter',
      'What was refused, by reason.',
      [...hub.refusals].map(([reason, count]) => [{ reason }, count]),
    )
    const partitions = [...eventHubs.values()].flatMap(({ name, log }) =>
      Array.from({ length: log.partitionCount }, (_, partition) => ({ name, partition, ...log.info(partition) })),
    )
    metric(
      'partition_last_sequence_number',
      'gauge',
      'Newest sequence number, -1 while empty.',
      partitions.map(({ name, partition, endSequence }) => [{ event_hub: name, partition }, endSequence - 1]),
    )
    metric(
      'event_hub_bytes',
      'gauge',
      'Bytes of a log on disk.',
      [...eventHubs.values()].map(({ name, log }) => [{ event_hub: name }, log.bytes]),
    )
    metric('event_hub_readers', 'gauge', 'Open consumer links.', [[{}, nodes.readers().length]])
    metric('routes_dropped_total', 'counter', 'Messages that no route took.', [[{}, router().droppedCount]])
    metric('resident_memory_bytes', 'gauge', 'Resident memory of the process.', [[{}, process.memoryUsage.rss()]])
    return `${lines.join('\n')}\n`
  }
}

const pageHeaders = {
  'content-type': 'text/html; charset=utf-8',
  'cache-control': 'no-store',
  'content-security-policy':
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; connect-src 'self'; base-uri 'none'; frame-ancestors 'none'",
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
}
