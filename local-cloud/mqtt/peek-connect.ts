/** Looks at the CONNECT packet of a connection before anybody owns it: one port serves several MQTT services. */
import type { Duplex } from 'node:stream'
import mqtt from 'mqtt-packet'

/** Longer than any CONNECT a client of these services sends, its password included. */
const connectBytesMax = 16 * 1024
const waitMs = 10_000

/**
 * Calls `route` with the user name once CONNECT is there, with every byte put back. A connection that shows none in time
 * is routed without: whoever gets it will refuse it in his own words.
 */
export function peekUsername(socket: Duplex, route: (username: string) => void): void {
  let seen: Buffer = Buffer.alloc(0)
  let isDone = false
  const finish = (username: string) => {
    if (isDone) return
    isDone = true
    clearTimeout(timer)
    socket.off('data', onData)
    socket.off('close', onClose)
    socket.pause()
    if (seen.length > 0) socket.unshift(seen)
    route(username)
    socket.resume()
  }
  const onData = (chunk: Buffer) => {
    seen = seen.length === 0 ? chunk : Buffer.concat([seen, chunk])
    const username = usernameOf(seen)
    if (username !== undefined) finish(username)
    else if (seen.length > connectBytesMax) finish('')
  }
  const onClose = () => {
    isDone = true
    clearTimeout(timer)
  }
  const timer = setTimeout(() => finish(''), waitMs)
  socket.on('error', () => socket.destroy())
  socket.on('close', onClose)
  socket.on('data', onData)
}

/** Empty when the packet is no CONNECT or cannot be read; undefined when more bytes are needed. */
function usernameOf(bytes: Buffer): string | undefined {
  let username: string | undefined
  const parser = mqtt.parser({ protocolVersion: 4 })
  parser.on('packet', (packet) => (username ??= packet.cmd === 'connect' ? (packet.username ?? '') : ''))
  parser.on('error', () => (username ??= ''))
  try {
    parser.parse(bytes)
  } catch {
    return ''
  }
  return username
}
