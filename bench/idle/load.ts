/** Opens many connections, over TLS when it has an authority, and lets them be; as MQTT devices when it has credentials, bare otherwise. */
import net from 'node:net'
import type { Socket } from 'node:net'
import tls from 'node:tls'
import mqtt from 'mqtt-packet'
import { argumentsOf, heard, say } from '../process.ts'

export type IdleLoadArguments = {
  readonly port: number
  readonly ca?: string
  readonly count: number
  readonly clients: readonly { readonly clientId: string; readonly username: string; readonly password: string }[]
}
const { port, ca, count, clients } = await argumentsOf<IdleLoadArguments>()
const parallel = 50
const sockets: Socket[] = []

async function open(index: number): Promise<void> {
  const client = clients[index]
  const to = { port, host: '127.0.0.1' }
  const socket = ca === undefined ? net.connect(to) : tls.connect({ ...to, servername: 'localhost', ca })
  sockets.push(socket)
  await new Promise<void>((resolve, reject) => {
    socket.on('error', reject)
    socket.on(ca === undefined ? 'connect' : 'secureConnect', () => {
      if (!client) return resolve()
      socket.write(
        mqtt.generate({
          cmd: 'connect',
          protocolId: 'MQTT',
          protocolVersion: 4,
          clean: true,
          clientId: client.clientId,
          keepalive: 1_100,
          username: client.username,
          password: Buffer.from(client.password),
        }),
      )
      // CONNACK: accepted.
      socket.once('data', (bytes: Buffer) => (bytes[3] === 0 ? resolve() : reject(new Error(`connack ${bytes[3]}`))))
    })
  })
}

let next = 0
await Promise.all(
  Array.from({ length: parallel }, async () => {
    while (next < count) await open(next++)
  }),
)
say({ open: sockets.length })
for await (const told of heard()) void told
