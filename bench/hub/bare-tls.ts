/** A TLS server that does nothing: what a connection costs before there is any protocol. */
import { readFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import tls from 'node:tls'
import { argumentsOf, say } from '../process.ts'

const { directory } = await argumentsOf<{ directory: string }>()
const server = tls.createServer(
  {
    key: readFileSync(`${directory}/server.key`),
    cert: readFileSync(`${directory}/server.pem`, 'utf8') + readFileSync(`${directory}/ca.pem`, 'utf8'),
    requestCert: true,
    rejectUnauthorized: false,
  },
  (socket) => {
    socket.on('data', () => {})
    socket.on('error', () => socket.destroy())
  },
)
server.listen(0, '127.0.0.1', () => say({ port: (server.address() as AddressInfo).port }))
