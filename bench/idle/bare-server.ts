/** A server that does nothing, over TLS or TCP alone: what a connection costs before there is any protocol. */
import { readFileSync } from 'node:fs'
import net from 'node:net'
import type { AddressInfo, Socket } from 'node:net'
import tls from 'node:tls'
import { argumentsOf, say } from '../process.ts'

/** @param directory of the gateway's certificates; without one there is no TLS */
export type BareServerArguments = { readonly directory?: string }

const { directory } = await argumentsOf<BareServerArguments>()
const accept = (socket: Socket) => {
  socket.on('data', () => {})
  socket.on('error', () => socket.destroy())
}
const certificates = (folder: string) => ({
  key: readFileSync(`${folder}/server.key`),
  cert: readFileSync(`${folder}/server.pem`, 'utf8') + readFileSync(`${folder}/ca.pem`, 'utf8'),
  requestCert: true,
  rejectUnauthorized: false,
})
const server = directory === undefined ? net.createServer(accept) : tls.createServer(certificates(directory), accept)
server.listen(0, '127.0.0.1', () => say({ port: (server.address() as AddressInfo).port }))
