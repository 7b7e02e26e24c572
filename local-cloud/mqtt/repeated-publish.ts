/**
 * A device that sends sends the same kind of packet over and over: PUBLISH at QoS 1 to the topic it used last. Whole packets
 * of that kind are read where they lie; everything else, and every partial packet, is left to mqtt-packet.
 */

/** PUBLISH, QoS 1, neither DUP nor RETAIN [MQTT-3.3.1]. */
const publishQos1 = 0x32

/**
 * Reads packets from the start of a chunk.
 * @param topic the topic as bytes, as in the packet that came before
 * @param publish gets the packet identifier and the payload, a part of the chunk; returns false to stop
 * @returns how many bytes were read
 */
export function readRepeatedPublishes(chunk: Buffer, topic: Buffer, publish: (messageId: number, payload: Buffer) => boolean): number {
  let at = 0
  while (chunk[at] === publishQos1) {
    // Remaining length: up to four bytes of seven bits [MQTT-2.2.3].
    let length = 0
    let next = at + 1
    for (let shift = 0; ; shift += 7) {
      const byte = chunk[next++]
      if (byte === undefined || shift > 21) return at
      length += (byte & 0x7f) << shift
      if (byte < 0x80) break
    }
    const end = next + length
    const idAt = next + 2 + topic.length
    if (end > chunk.length || idAt + 2 > end) return at
    if (((chunk[next]! << 8) | chunk[next + 1]!) !== topic.length) return at
    if (topic.compare(chunk, next + 2, idAt) !== 0) return at
    const messageId = (chunk[idAt]! << 8) | chunk[idAt + 1]!
    // [MQTT-2.3.1-1] zero is no identifier; mqtt-packet says so in its own words.
    if (messageId === 0) return at
    at = end
    if (!publish(messageId, chunk.subarray(idAt + 2, end))) return at
  }
  return at
}
