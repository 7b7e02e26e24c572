/**
 * Azurite writes its tables to disk now and then; what it acknowledged since is lost when it is killed. This proxy stands
 * in front of it: a change that Azurite has taken is journalled and synced before the client hears of it, and after a crash
 * the changes since the last save are given to Azurite again, in order.
 */
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { z } from 'zod'
import { CommitLog } from '../log/commit-log.ts'
import { readBody } from '../http-request.ts'
import { failingAnswer } from './storage-gate.ts'
import type { StorageFault } from './storage-gate.ts'
import { breachAnswer, checkTableRequest } from './table-limits.ts'
import { TableSaves } from './table-saves.ts'

const bodyBytesMax = 5 * 1024 * 1024
/** Of changes that Azurite does not get onto the disk: whoever makes more has to wait. */
const journalBytesMax = 1024 * 1024 * 1024

const JournalHeader = z.object({ method: z.string(), path: z.string(), headers: z.record(z.string(), z.string()) })
type Change = z.infer<typeof JournalHeader> & { readonly body: Buffer }
type Answer = { readonly status: number; readonly headers: http.IncomingHttpHeaders; readonly body: Buffer }

export type DurableTables = {
  readonly port: number
  stop(): Promise<void>
  /** Says that Azurite has ended and saved everything: nothing need be repeated. */ markClean(): void
}

/** @param upstreamPort Azurite's table service @param port 0 for a free one */
export async function startDurableTables({
  directory,
  upstreamPort,
  port,
  fault,
  save,
  onTrouble,
}: {
  directory: string
  upstreamPort: number
  port: number
  fault: StorageFault
  /** Azurite's, of its tables. */
  save: () => Promise<void>
  onTrouble: (error: unknown) => void
}): Promise<DurableTables> {
  const agent = new http.Agent({ keepAlive: true, maxSockets: 64 })
  const log = await CommitLog.open({
    directory: join(directory, 'changes'),
    partitions: 1,
    segmentBytesMax: 8 * 1024 * 1024,
    nowMs: Date.now,
  })
  const saves = new TableSaves({ log, markFile: join(directory, 'saved.json'), save, nowMs: Date.now, onTrouble })
  saves.note(await replay(log, saves.nextSequence, (change) => forward(agent, upstreamPort, change)))

  const server = http.createServer((request, response) => {
    handle(request)
      .then(({ status, headers, body }) => response.writeHead(status, headers).end(body))
      .catch(() => response.writeHead(503, { 'content-type': 'text/plain' }).end('the table service cannot be reached\n'))
  })
  async function handle(request: http.IncomingMessage): Promise<Answer> {
    const body = await readBody(request, bodyBytesMax)
    if (!body) return { status: 413, headers: {}, body: Buffer.alloc(0) }
    if (await fault()) return { status: failingAnswer.status, headers: failingAnswer.headers, body: Buffer.from(failingAnswer.body) }
    const change: Change = { method: request.method ?? 'GET', path: request.url ?? '/', headers: forwardedHeaders(request.headers), body }
    if (change.method !== 'GET' && log.bytes > journalBytesMax) return busy
    const breach = checkTableRequest(change)
    if (breach) return breachAnswer(breach, change.path.includes('$batch'))
    const answer = await forward(agent, upstreamPort, change)
    if (isChange(change, answer)) {
      const bytes = encodeChange(change)
      await log.append(0, () => bytes)
      saves.note(bytes.length)
    }
    return answer
  }
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.listen(port, '127.0.0.1', resolve)
    })
  } catch (error) {
    // Tried again on another port: two must not keep one journal.
    await saves.stop()
    await log.close()
    throw error
  }
  return {
    port: (server.address() as AddressInfo).port,
    async stop() {
      const closed = new Promise((resolve) => server.close(resolve))
      server.closeAllConnections()
      await closed
      agent.destroy()
      await saves.stop()
      await log.close()
    },
    markClean: () => saves.covers(log.info(0).endSequence),
  }
}

/** True for a change that was made: not for a read, nor for a transaction of which a part was refused, and so all of it. */
function isChange({ method, path }: Change, { status, body }: Answer): boolean {
  if (method === 'GET' || method === 'HEAD' || status >= 300) return false
  return !path.includes('$batch') || !/HTTP\/1\.1 [45]\d\d/.test(body.toString('latin1'))
}

/** @returns bytes of what was repeated */
async function replay(log: CommitLog, fromSequence: number, send: (change: Change) => Promise<Answer>): Promise<number> {
  const { beginSequence, endSequence } = log.info(0)
  let bytes = 0
  for (let next = Math.max(beginSequence, fromSequence); next < endSequence; ) {
    const records = await log.read(0, next, { count: 100, bytes: 16 * 1024 * 1024 })
    // What Azurite had saved is there already: creating it again is refused, and nothing is lost by that.
    for (const { payload } of records) {
      bytes += payload.length
      await send(unconditional(decodeChange(payload)))
    }
    next = (records.at(-1)?.sequenceNumber ?? endSequence) + 1
  }
  return bytes
}

const busy: Answer = { status: 503, headers: { 'content-type': 'text/plain' }, body: Buffer.from('the tables cannot be written to disk\n') }

/** The ETags of a change that is repeated are not those it was made with; that it was right to make it is known. */
function unconditional(change: Change): Change {
  const headers = { ...change.headers }
  if (headers['if-match'] !== undefined) headers['if-match'] = '*'
  if (!change.path.includes('$batch')) return { ...change, headers }
  const body = Buffer.from(change.body.toString('utf8').replace(/^If-Match:[^\r\n]*/gim, 'If-Match: *'))
  return { ...change, headers: { ...headers, 'content-length': String(body.length) }, body }
}

function forward(agent: http.Agent, port: number, { method, path, headers, body }: Change): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const outgoing = http.request({ host: '127.0.0.1', port, agent, method, path, headers }, (response) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.on('end', () => {
        const { 'transfer-encoding': _, connection: __, ...kept } = response.headers
        resolve({ status: response.statusCode ?? 502, headers: kept, body: Buffer.concat(chunks) })
      })
      response.on('error', reject)
    })
    outgoing.on('error', reject)
    outgoing.end(body)
  })
}

function forwardedHeaders(headers: http.IncomingHttpHeaders): Record<string, string> {
  const { connection: _, 'keep-alive': __, 'transfer-encoding': ___, ...kept } = headers
  return Object.fromEntries(Object.entries(kept).map(([name, value]) => [name, Array.isArray(value) ? value.join(', ') : (value ?? '')]))
}

function encodeChange({ body, ...header }: Change): Buffer {
  const json = Buffer.from(JSON.stringify(header))
  const length = Buffer.alloc(4)
  length.writeUInt32LE(json.length)
  return Buffer.concat([length, json, body])
}

function decodeChange(bytes: Buffer): Change {
  const end = 4 + bytes.readUInt32LE(0)
  return { ...JournalHeader.parse(JSON.parse(bytes.subarray(4, end).toString())), body: bytes.subarray(end) }
}
