import fc from 'fast-check'
import packets from 'mqtt-packet'
import { describe, expect, test } from 'vitest'
import { readRepeatedPublishes } from '../../local-cloud/mqtt/repeated-publish.ts'

const topic = 'devices/pump/messages/events/a=1'
const publish = (messageId: number, payload: Uint8Array, change: { topic?: string; qos?: 0 | 1; dup?: boolean; retain?: boolean } = {}) =>
  packets.generate({ cmd: 'publish', topic, qos: 1, dup: false, retain: false, messageId, payload: Buffer.from(payload), ...change })

/** What is read of a chunk, and how much of it. */
function read(chunk: Buffer): { bytes: number; messages: { messageId: number; payload: Buffer }[] } {
  const messages: { messageId: number; payload: Buffer }[] = []
  const bytes = readRepeatedPublishes(chunk, Buffer.from(topic), (messageId, payload) => messages.push({ messageId, payload }) > 0)
  return { bytes, messages }
}

describe('publishes to the topic used last', () => {
  const message = fc.record({ messageId: fc.integer({ min: 1, max: 65_535 }), payload: fc.uint8Array({ maxLength: 300 }) })

  test('are read as mqtt-packet reads them, whatever their payload', () => {
    fc.assert(
      fc.property(fc.array(message, { maxLength: 10 }), (messages) => {
        const chunk = Buffer.concat(messages.map(({ messageId, payload }) => publish(messageId, payload)))
        const found = read(chunk)
        expect(found.bytes).toBe(chunk.length)
        expect(found.messages).toEqual(messages.map(({ messageId, payload }) => ({ messageId, payload: Buffer.from(payload) })))
      }),
    )
  })

  test('a partial packet is left, from its first byte on', () => {
    fc.assert(
      fc.property(message, message, fc.double({ min: 0, max: 0.999, noNaN: true }), (first, second, share) => {
        const [one, two] = [publish(first.messageId, first.payload), publish(second.messageId, second.payload)]
        const cut = two.subarray(0, Math.floor(share * two.length))
        expect(read(Buffer.concat([one, cut]))).toMatchObject({ bytes: one.length, messages: [{ messageId: first.messageId }] })
      }),
    )
  })

  test.each([
    ['another topic', publish(1, Buffer.from('x'), { topic: 'devices/pump/messages/events/a=2' })],
    ['a longer topic', publish(1, Buffer.from('x'), { topic: `${topic}0` })],
    ['QoS 0', publish(1, Buffer.from('x'), { qos: 0 })],
    ['a repetition', publish(1, Buffer.from('x'), { dup: true })],
    ['a retained message', publish(1, Buffer.from('x'), { retain: true })],
    ['a ping', packets.generate({ cmd: 'pingreq' })],
    ['a length of five bytes', Buffer.from([0x32, 0xff, 0xff, 0xff, 0xff, 0x01])],
    ['a length that is shorter than the topic', Buffer.from([0x32, 0x02, 0x00, topic.length])],
    [
      'the identifier zero',
      Buffer.concat([Buffer.from([0x32, topic.length + 4, 0, topic.length]), Buffer.from(topic), Buffer.from([0, 0])]),
    ],
  ])('%s is left to the parser', (_, chunk) => expect(read(chunk)).toEqual({ bytes: 0, messages: [] }))

  test('any bytes at all are read or left', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
        const chunk = Buffer.concat([publish(7, Buffer.from('whole')), Buffer.from(bytes)])
        expect(read(chunk).messages[0]).toMatchObject({ messageId: 7 })
      }),
    )
  })
})
