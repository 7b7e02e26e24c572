/** Opens many connections, over TLS when it has an authority, and lets them be; as MQTT devices when it has credentials, bare otherwise. */
import { once } from 'node:events'
import { MqttConnection, openSocket } from '../mqtt-connection.ts'
import { argumentsOf, heard, say } from '../process.ts'

export type IdleLoadArguments = {
  readonly port: number
  readonly ca?: string
  readonly count: number
  readonly clients: readonly { readonly clientId: string; readonly username: string; readonly password: string }[]
}
const { port, ca, count, clients } = await argumentsOf<IdleLoadArguments>()
const parallel = 50

async function open(index: number): Promise<void> {
  const client = clients[index]
  if (client) return new MqttConnection({ port, ca, ...client }).connected
  const { socket, opened } = openSocket(port, ca)
  await once(socket, opened)
}

let next = 0
await Promise.all(
  Array.from({ length: parallel }, async () => {
    while (next < count) await open(next++)
  }),
)
say({ open: count })
for await (const told of heard()) void told
