/** Opens many TLS connections and lets them be; as MQTT devices when it has credentials, bare otherwise. */
import { connect } from 'node:tls'
import type { TLSSocket } from 'node:tls'
import mqtt from 'mqtt-packet'
import { argumentsOf, heard, say } from '../process.ts'

type Arguments = { port: number; ca: string; count: number; clients: { clientId: string; username: string; password: string }[] }
const { port, ca, count, clients } = await argumentsOf<Arguments>()
const parallel = 50
const sockets: TLSSocket[] = []

async function open(index: number): Promise<void> {
  const client = clients[index]
  const socket = connect({ port, host: '127.0.0.1', servername: 'localhost', ca })
  sockets.push(socket)
  await new Promise<void>((resolve, reject) => {
    socket.on('error', reject)
    socket.on('secureConnect', () => {
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
