/** Azure Web PubSub: the REST API of servers, and the WebSockets of clients. Nothing here is kept over a restart. */
import { randomUUID } from 'node:crypto'
import type http from 'node:http'
import type { Duplex } from 'node:stream'
import { WebSocketServer } from 'ws'
import type { WebSocket } from 'ws'
import { z } from 'zod'
import { parseCondition } from '../query/expression.ts'
import { readToken, signToken } from './access-token.ts'
import { PubSubHub } from './pubsub-hub.ts'
import type { DataType, PubSubConnection, Target } from './pubsub-hub.ts'
import { channelOf, protocols, serve } from './pubsub-socket.ts'

export type PubSubRequest = {
  readonly method: string
  readonly url: URL
  readonly headers: http.IncomingHttpHeaders
  readonly body: Buffer
}
export type PubSubResponse = { readonly status: number; readonly body?: unknown }

const GroupChange = z.object({ groups: z.array(z.string().min(1).max(1024)), filter: z.string() })
const messageBytesMax = 1024 * 1024
const hubsMax = 100

export class WebPubSub {
  readonly #key: string
  readonly #nowMs: () => number
  readonly #refused: (reason: string, detail: string) => void
  readonly #hubs = new Map<string, PubSubHub>()
  readonly #sockets: WebSocketServer

  constructor(options: { key: string; nowMs: () => number; refused: (reason: string, detail: string) => void }) {
    this.#key = options.key
    this.#nowMs = options.nowMs
    this.#refused = options.refused
    this.#sockets = new WebSocketServer({
      noServer: true,
      maxPayload: messageBytesMax,
      handleProtocols: (offered) => [protocols.reliable, protocols.json].find((known) => offered.has(known)) ?? false,
    })
  }

  owns(path: string): boolean {
    return /^\/(api|client)\/hubs\//.test(path)
  }

  get connectionCount(): number {
    return [...this.#hubs.values()].reduce((sum, hub) => sum + hub.connections.size, 0)
  }

  /** Takes over a WebSocket handshake for `/client/hubs/{hub}`. */
  upgrade(request: http.IncomingMessage, socket: Duplex, head: Buffer, url: URL): void {
    const name = /^\/client\/hubs\/([A-Za-z][A-Za-z0-9_`,.[\]]{0,127})$/.exec(url.pathname)?.[1]
    const hub = name === undefined ? undefined : this.#hub(name)
    const id = url.searchParams.get('awps_connection_id')
    const reconnection = url.searchParams.get('awps_reconnection_token')
    const bearer = /^Bearer (.+)$/.exec(request.headers.authorization ?? '')?.[1]
    const claims = readToken(url.searchParams.get('access_token') ?? bearer ?? '', this.#key, url.pathname, this.#nowMs())
    const refuse = (status: number, reason: string) => {
      this.#refused('web-pubsub', reason)
      socket.end(`HTTP/1.1 ${status} ${status === 401 ? 'Unauthorized' : 'Not Found'}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`)
    }
    if (!hub) return refuse(404, `'${url.pathname}' is no hub`)
    // A client that takes its connection up again proves himself by its reconnection token.
    const isRecovery = id !== null && reconnection !== null
    if ('refused' in claims && !isRecovery) return refuse(401, String(claims.refused))
    this.#sockets.handleUpgrade(request, socket, head, (opened) => {
      if (isRecovery) this.#recover(opened, hub, id, reconnection)
      else if (!('refused' in claims))
        this.#open(opened, hub, claims as { sub?: string; role?: string | string[]; 'webpubsub.group'?: string | string[] })
    })
  }

  #open(
    socket: WebSocket,
    hub: PubSubHub,
    claims: { sub?: string; role?: string | string[]; 'webpubsub.group'?: string | string[] },
  ): void {
    const channel = channelOf(socket, socket.protocol !== '')
    const connection = hub.connect({
      userId: claims.sub,
      isReliable: socket.protocol === protocols.reliable,
      roles: [claims.role ?? []].flat(),
      groups: [claims['webpubsub.group'] ?? []].flat(),
      channel,
    })
    if (!connection) return socket.close(1013, 'the hub is full')
    serve(socket, hub, connection, channel)
    channel.send(connectedFrame(connection))
  }

  #recover(socket: WebSocket, hub: PubSubHub, id: string, token: string): void {
    const channel = channelOf(socket, true)
    const connection = hub.recover(id, token, channel)
    if (!connection) return socket.close(1008, 'the connection cannot be taken up again')
    serve(socket, hub, connection, channel)
    channel.send(connectedFrame(connection))
    hub.resend(connection)
  }

  handle({ method, url, headers, body }: PubSubRequest): PubSubResponse {
    const token = /^Bearer (.+)$/.exec(headers.authorization ?? '')?.[1] ?? ''
    const claims = readToken(token, this.#key, url.pathname, this.#nowMs())
    if ('refused' in claims) {
      this.#refused('web-pubsub', `${method} ${url.pathname}: ${String(claims.refused)}`)
      return { status: 401 }
    }
    const [, , name = '', ...path] = url.pathname.split('/').slice(1).map(decodeURIComponent)
    const hub = this.#hub(name)
    if (!hub) return { status: 400, body: { code: 'InvalidHub', message: `'${name}' is no name of a hub` } }
    return this.#act(hub, method, path, url, headers, body)
  }

  #act(hub: PubSubHub, method: string, path: readonly string[], url: URL, headers: http.IncomingHttpHeaders, body: Buffer): PubSubResponse {
    const target = targetOf(path)
    const action = path.at(-1) ?? ''
    if (method === 'POST' && action === ':send' && target) return this.#send(hub, target, url, headers, body)
    if (method === 'POST' && action === ':closeConnections' && target) {
      const excluded = new Set(url.searchParams.getAll('excluded'))
      for (const connection of hub.targets(target))
        if (!excluded.has(connection.id)) hub.close(connection, url.searchParams.get('reason') ?? 'closed by the server')
      return { status: 204 }
    }
    if (method === 'POST' && action === ':generateToken') return { status: 200, body: { token: this.#clientToken(hub.name, url) } }
    if (method === 'POST' && (action === ':addToGroups' || action === ':removeFromGroups')) return this.#changeGroups(hub, action, body)
    const [area, id = '', inner, innerId = '', , last = ''] = path
    const answer = (isTrue: boolean): PubSubResponse => ({ status: isTrue ? 200 : 404 })
    switch (area) {
      case 'connections': {
        const connection = hub.connections.get(id)
        if (inner === 'groups' && method === 'DELETE') {
          connection?.groups.clear()
          return { status: 204 }
        }
        if (method === 'HEAD') return answer(connection !== undefined)
        if (method === 'DELETE') {
          if (connection) hub.close(connection, url.searchParams.get('reason') ?? 'closed by the server')
          return { status: 204 }
        }
        break
      }
      case 'groups': {
        const members = hub.targets({ kind: 'group', group: id })
        if (inner === undefined && method === 'HEAD') return answer(members.length > 0)
        if (inner === 'connections' && innerId === '' && method === 'GET')
          return {
            status: 200,
            body: { value: members.map((one) => ({ connectionId: one.id, ...(one.userId === undefined ? {} : { userId: one.userId }) })) },
          }
        if (inner === 'connections') return changeMember(hub.connections.get(innerId), id, method)
        break
      }
      case 'users': {
        const ofUser = hub.targets({ kind: 'user', userId: id })
        if (inner === undefined && method === 'HEAD') return answer(ofUser.length > 0)
        if (inner !== 'groups') break
        for (const connection of ofUser) {
          if (innerId === '') connection.groups.clear()
          else if (method === 'PUT') connection.groups.add(innerId)
          else connection.groups.delete(innerId)
        }
        return { status: method === 'PUT' ? 200 : 204 }
      }
      case 'permissions': {
        const connection = hub.connections.get(innerId)
        if (!connection) return { status: 404 }
        const name = url.searchParams.get('targetName') ?? last
        const role = `webpubsub.${id}${name ? `.${name}` : ''}`
        if (method === 'HEAD') return answer(connection.roles.has(role))
        if (method === 'PUT') connection.roles.add(role)
        else connection.roles.delete(role)
        return { status: method === 'PUT' ? 200 : 204 }
      }
      default:
        break
    }
    return { status: 404 }
  }

  #send(hub: PubSubHub, target: Target, url: URL, headers: http.IncomingHttpHeaders, body: Buffer): PubSubResponse {
    if (target.kind === 'connection' && !hub.connections.has(target.id)) return { status: 404 }
    const contentType = headers['content-type'] ?? 'text/plain'
    const dataType: DataType = contentType.startsWith('application/json')
      ? 'json'
      : contentType.startsWith('text/plain')
        ? 'text'
        : 'binary'
    let data: unknown
    try {
      data = dataType === 'json' ? (JSON.parse(body.toString()) as unknown) : body.toString(dataType === 'text' ? 'utf8' : 'base64')
    } catch {
      return { status: 400, body: { code: 'InvalidJson', message: 'the body is not JSON' } }
    }
    const filter = url.searchParams.get('filter')
    let meets: ((connection: PubSubConnection) => boolean) | undefined
    try {
      meets = filter === null ? undefined : filterOf(filter)
    } catch (error) {
      return { status: 400, body: { code: 'InvalidFilter', message: (error as Error).message } }
    }
    const excluded = new Set(url.searchParams.getAll('excluded'))
    const message =
      target.kind === 'group'
        ? ({ from: 'group', group: target.group, dataType, data } as const)
        : ({ from: 'server', dataType, data } as const)
    hub.send(target, message, { excluded, ...(meets ? { meets } : {}) })
    return { status: 202 }
  }

  #changeGroups(hub: PubSubHub, action: string, body: Buffer): PubSubResponse {
    let groups: readonly string[]
    let meets: (connection: PubSubConnection) => boolean
    try {
      const change = GroupChange.parse(JSON.parse(body.toString()))
      groups = change.groups
      meets = filterOf(change.filter)
    } catch (error) {
      return { status: 400, body: { code: 'InvalidRequest', message: (error as Error).message } }
    }
    for (const connection of hub.connections.values()) {
      if (!meets(connection)) continue
      for (const group of groups) {
        if (action === ':addToGroups') connection.groups.add(group)
        else connection.groups.delete(group)
      }
    }
    return { status: 200 }
  }

  #clientToken(hub: string, url: URL): string {
    const minutes = Math.min(Number(url.searchParams.get('minutesToExpire') ?? 60) || 60, 1440)
    const userId = url.searchParams.get('userId')
    const seconds = Math.floor(this.#nowMs() / 1000)
    return signToken(
      {
        aud: `http://localhost/client/hubs/${hub}`,
        exp: seconds + minutes * 60,
        jti: randomUUID(),
        ...(userId === null ? {} : { sub: userId }),
        role: url.searchParams.getAll('role'),
        'webpubsub.group': url.searchParams.getAll('group'),
      },
      this.#key,
    )
  }

  #hub(name: string): PubSubHub | undefined {
    const key = name.toLowerCase()
    const known = this.#hubs.get(key)
    if (known || this.#hubs.size >= hubsMax || !/^[A-Za-z]/.test(name)) return known
    const hub = new PubSubHub(name)
    this.#hubs.set(key, hub)
    return hub
  }

  close(): void {
    for (const hub of this.#hubs.values()) hub.closeAll()
    this.#sockets.close()
  }
}

function connectedFrame({ userId, id, reconnectionToken, isReliable }: PubSubConnection): Record<string, unknown> {
  return { type: 'system', event: 'connected', userId: userId ?? null, connectionId: id, ...(isReliable ? { reconnectionToken } : {}) }
}

function targetOf(path: readonly string[]): Target | undefined {
  const [area, id = ''] = path
  if (path.length === 1) return { kind: 'all' }
  if (path.length !== 3) return undefined
  if (area === 'groups') return { kind: 'group', group: id }
  if (area === 'users') return { kind: 'user', userId: id }
  return area === 'connections' ? { kind: 'connection', id } : undefined
}

function changeMember(connection: PubSubConnection | undefined, group: string, method: string): PubSubResponse {
  if (method === 'PUT' && !connection) return { status: 404 }
  if (method === 'PUT') connection!.groups.add(group)
  else connection?.groups.delete(group)
  return { status: method === 'PUT' ? 200 : 204 }
}

/**
 * A filter in OData's words (`userId eq 'a' and not('g' in groups)`), read as a condition of our own query language.
 * @throws QuerySyntaxError
 */
function filterOf(filter: string): (connection: PubSubConnection) => boolean {
  const operators: Record<string, string> = { eq: '=', ne: '!=', gt: '>', ge: '>=', lt: '<', le: '<=' }
  const translated = filter.replaceAll(/'(?:[^']|'')*'|\b(eq|ne|gt|ge|lt|le)\b/g, (text, operator?: string) =>
    operator ? operators[operator]! : text,
  )
  const condition = parseCondition(translated, 'document')
  return ({ id, userId, groups }) =>
    condition(([name]) => {
      if (name === 'connectionId') return id
      if (name === 'userId') return userId ?? null
      return name === 'groups' ? [...groups] : undefined
    })
}
