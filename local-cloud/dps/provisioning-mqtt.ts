/** The device API of DPS over MQTT: register, ask how it went, on the documented topics (iot-dps-mqtt-support.md). */
import type { Duplex } from 'node:stream'
import mqtt from 'mqtt-packet'
import type { IConnectPacket, IPublishPacket, Packet } from 'mqtt-packet'
import { connack } from '../mqtt/connect-names.ts'
import type { PeerCertificate } from '../security/peer-certificate.ts'
import { operationView, payloadOf, ProvisioningError, retryAfterS } from './provisioning-service.ts'
import type { Attested, ProvisioningService } from './provisioning-service.ts'

const limits = { packetBytes: 64 * 1024, lifeMs: 600_000 } as const

export function isProvisioningUser(username: string): boolean {
  return /^[^/]+\/registrations\//.test(username)
}

export function acceptProvisioning(socket: Duplex, service: ProvisioningService, certificate: () => PeerCertificate | undefined): void {
  const parser = mqtt.parser({ protocolVersion: 4 })
  let attested: Attested | undefined
  let isSubscribed = false
  // Provisioning takes seconds; a connection that stays is not provisioning.
  const life = setTimeout(() => socket.destroy(), limits.lifeMs)
  const write = (packet: Packet) => {
    if (socket.writable) socket.write(mqtt.generate(packet))
  }
  const refuse = (reason: string, detail: string) => {
    service.refused(`dps-${reason}`, detail)
    socket.end()
    setTimeout(() => socket.destroy(), 1_000).unref()
  }

  const connect = (packet: IConnectPacket) => {
    const [idScope, , registrationId = ''] = (packet.username ?? '').split('/')
    const shown = { registrationId, token: packet.password?.toString() ?? '', certificate }
    try {
      if (packet.protocolVersion !== 4) throw new ProvisioningError(400, 400000, 'MQTT 3.1.1 only')
      service.requireScope(idScope)
      if (packet.clientId !== registrationId) throw new ProvisioningError(401, 401002, 'the client id is not the registration id')
      service.authenticate(shown)
    } catch (error) {
      write({ cmd: 'connack', returnCode: connack.notAuthorized, sessionPresent: false })
      return refuse('not-authorized', (error as Error).message)
    }
    attested = shown
    write({ cmd: 'connack', returnCode: connack.accepted, sessionPresent: false })
  }

  const publish = ({ topic, payload, qos, messageId }: IPublishPacket, device: Attested) => {
    const [path = '', query = ''] = topic.split('?')
    const parameters = new URLSearchParams(query)
    const requestId = parameters.get('$rid') ?? ''
    const operation =
      path === '$dps/registrations/PUT/iotdps-register/'
        ? 'register'
        : path === '$dps/registrations/GET/iotdps-get-operationstatus/'
          ? 'status'
          : undefined
    if (!operation || !isSubscribed) return refuse('undocumented-topic', topic)
    if (qos === 1) write({ cmd: 'puback', messageId: messageId! })
    const answer = (status: number, body: unknown, extra = '') =>
      write({
        cmd: 'publish',
        topic: `$dps/registrations/res/${status}/?$rid=${requestId}${extra}`,
        payload: JSON.stringify(body),
        qos: 0,
        retain: false,
        dup: false,
      })
    const work =
      operation === 'register'
        ? service
            .register(device, payloadOf(payload as Buffer))
            .then((operationId) => answer(202, { operationId, status: 'assigning' }, `&retry-after=${retryAfterS}`))
        : Promise.resolve().then(() => {
            const operationId = parameters.get('operationId') ?? ''
            answer(200, operationView(operationId, service.operation(device, operationId)))
          })
    work.catch((error: unknown) => {
      const known = error instanceof ProvisioningError ? error : new ProvisioningError(500, 500000, String(error))
      answer(known.status, { errorCode: known.errorCode, trackingId: '', message: known.message, timestampUtc: new Date().toISOString() })
    })
  }

  parser.on('packet', (packet) => {
    if (packet.cmd === 'connect') return attested ? refuse('second-connect', 'CONNECT came twice') : connect(packet)
    if (!attested) return refuse('not-connected', packet.cmd)
    switch (packet.cmd) {
      case 'subscribe':
        if (packet.subscriptions.some(({ topic }) => topic !== '$dps/registrations/res/#'))
          return refuse('undocumented-topic', 'subscription')
        isSubscribed = true
        return write({ cmd: 'suback', messageId: packet.messageId!, granted: packet.subscriptions.map(({ qos }) => Math.min(qos, 1)) })
      case 'unsubscribe':
        return write({ cmd: 'unsuback', messageId: packet.messageId!, granted: [] })
      case 'publish':
        return publish(packet, attested)
      case 'pingreq':
        return write({ cmd: 'pingresp' })
      case 'puback':
        return
      case 'disconnect':
        return void socket.end()
      default:
        return refuse('unexpected-packet', packet.cmd)
    }
  })
  parser.on('error', (error) => refuse('malformed-packet', error.message))
  socket.on('error', () => socket.destroy())
  socket.on('close', () => clearTimeout(life))
  socket.on('data', (chunk: Buffer) => {
    try {
      if (parser.parse(chunk) > limits.packetBytes) refuse('too-large', 'a packet of DPS is small')
    } catch (error) {
      refuse('malformed-packet', String(error))
    }
  })
}
