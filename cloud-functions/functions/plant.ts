/** The plant as a whole: where machines stand, and the messages that were set aside. */
import { z } from 'zod'
import { DeadLetterDetail, DeadLetterList, DeadLetterView, PartitionList } from '../../contract/api.ts'
import { errorText } from '../../contract/error-text.ts'
import { unknownDeviceId } from '../../contract/unknown-device.ts'
import { Topology } from '../alerting/topology.ts'
import { endpoint } from '../api/endpoint.ts'
import { Problem } from '../api/problem.ts'
import { appHub, appLogPosition, appTables, forgetPlaces } from '../services.ts'
import { listDeadLetters, markReplayed, readDeadLetter } from '../store/dead-letter-store.ts'
import type { StoredDeadLetter } from '../store/dead-letter-store.ts'
import { readTopology, topologyCharactersMax, writeTopology } from '../store/plant-store.ts'

endpoint({
  name: 'topology',
  method: 'GET',
  path: 'topology',
  summary: 'Where machines stand, as rules by device id; empty while nobody has said',
  access: 'viewer',
  response: Topology,
  handle: async () => (await readTopology(await appTables())) ?? { places: [] },
})

endpoint({
  name: 'write-topology',
  method: 'PUT',
  path: 'topology',
  summary: 'Say where machines stand; the first rule that fits a device counts',
  access: 'engineer',
  body: Topology,
  response: Topology,
  handle: async ({ body }) => {
    if (JSON.stringify(body).length > topologyCharactersMax)
      throw new Problem(
        413,
        'Too large',
        `a topology of at most ${topologyCharactersMax} characters is taken; patterns such as 'pump-*' are short`,
      )
    await writeTopology(await appTables(), body)
    forgetPlaces()
    return body
  },
})

endpoint({
  name: 'partitions',
  method: 'GET',
  path: 'partitions',
  summary: 'How far the app is behind the log, by partition',
  access: 'viewer',
  response: PartitionList,
  handle: async () => {
    const { ends, applied } = await appLogPosition().catch((error: unknown) => {
      throw new Problem(502, 'No answer', `the event hub does not say how far it is: ${errorText(error)}; try again`)
    })
    return {
      partitions: ends.map(({ partitionId, lastSequence, lastEnqueuedMs }) => {
        const appliedSequence = applied.get(partitionId)?.sequence ?? -1
        return {
          partition: partitionId,
          appliedSequence,
          lastSequence,
          behind: Math.max(0, lastSequence - appliedSequence),
          lastEnqueuedMs,
        }
      }),
    } satisfies PartitionList
  },
})

function letterView({ id, row, body }: StoredDeadLetter): DeadLetterView {
  const { deviceId, reason, detail, arrivedMs, contentType, bodyLength, replayedMs = 0 } = row
  return {
    id,
    arrivedAt: new Date(arrivedMs).toISOString(),
    deviceId,
    reason,
    detail,
    contentType,
    bodyLength,
    preview: Buffer.from(body.subarray(0, 200)).toString('utf8'),
    replayedAt: replayedMs === 0 ? null : new Date(replayedMs).toISOString(),
  }
}

endpoint({
  name: 'dead-letters',
  method: 'GET',
  path: 'dead-letters',
  summary: 'Messages that were set aside, the newest first',
  access: 'viewer',
  response: DeadLetterList,
  handle: async () => ({ deadLetters: (await listDeadLetters(await appTables(), 500)).map(letterView) }),
})

async function requireLetter(id: string | undefined): Promise<StoredDeadLetter> {
  const letter = id === undefined ? undefined : await readDeadLetter(await appTables(), id)
  if (!letter) throw new Problem(404, 'No such message', `no message '${id}' was set aside`)
  return letter
}

endpoint({
  name: 'dead-letter',
  method: 'GET',
  path: 'dead-letters/{id}',
  summary: 'A message that was set aside, whole',
  access: 'viewer',
  response: DeadLetterDetail,
  handle: async ({ params }) => {
    const letter = await requireLetter(params.id)
    const text = textOf(letter.body)
    const body = text ?? Buffer.from(letter.body).toString('base64')
    return { ...letterView(letter), body, encoding: text === undefined ? 'base64' : 'utf8' } satisfies DeadLetterDetail
  },
})

function textOf(body: Uint8Array): string | undefined {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(body)
  } catch {
    return undefined
  }
}

const Replay = z.object({
  /** The mended text; the message as it was when absent. */
  body: z.string().max(60_000).optional(),
  contentType: z.string().max(128).optional(),
})

endpoint({
  name: 'replay-dead-letter',
  method: 'POST',
  path: 'dead-letters/{id}/replay',
  summary: 'Send a message again in its device’s name, mended or as it was; once',
  access: 'engineer',
  body: Replay,
  response: DeadLetterView,
  handle: async ({ params, body }) => {
    const hub = appHub()
    if (!hub) throw new Problem(501, 'Not set up', 'messages are sent again where IOT_HUB_CONNECTION is set')
    const letter = await requireLetter(params.id)
    const { row } = letter
    if (row.deviceId === unknownDeviceId) throw new Problem(409, 'No device', 'the message names no device that could send it again')
    if ((row.replayedMs ?? 0) > 0) throw new Problem(409, 'Sent again already', 'the message was sent again before')
    const nowMs = Date.now()
    const etag = await markReplayed(await appTables(), letter, nowMs)
    if (etag === undefined) throw new Problem(409, 'Sent again already', 'somebody else sends it at this moment')
    const content = body.body === undefined ? letter.body : new TextEncoder().encode(body.body)
    try {
      await hub.sendAsDevice(row.deviceId, content, body.contentType ?? (row.contentType === '' ? 'application/json' : row.contentType))
    } catch (error) {
      await markReplayed(await appTables(), { ...letter, row: { ...row, etag } }, undefined)
      throw new Problem(502, 'Not sent', errorText(error))
    }
    return letterView({ ...letter, row: { ...row, replayedMs: nowMs } })
  },
})
