/**
 * The local cloud as a server: durable QoS 1 ingest beside mosquitto (which stores nothing), delivery over AMQP beside what
 * the official client can take, idle connections beside bare TLS, and the time to start. CPU of the servers is read from
 * /proc, so this runs on Linux. mosquitto is taken from PATH, or from the variable MOSQUITTO.
 */
import { spawn, spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { Connection } from '../contract/connection.ts'
import { sharedAccessSignature } from '../device-sim/device-credentials.ts'
import { HubRegistry } from '../device-sim/hub-registry.ts'
import { measureIdle } from './idle/idle-memory.ts'
import { Helper, cpuSeconds } from './process.ts'
import { median, printHeader, printRow } from './measure.ts'

const root = new URL('..', import.meta.url).pathname
const connections = 50
const messagesPerRound = 100_000
const warmUpRounds = 2
const rounds = 5
const idleConnections = Number(process.env.IDLE_CONNECTIONS ?? 10_000)
const folder = mkdtempSync(join(tmpdir(), 'hub-bench-'))

type Cloud = { pid: number; connection: Connection; readyMs: number; stop(): Promise<void> }

async function startCloud(name: string): Promise<Cloud> {
  const startedMs = performance.now()
  const directory = join(folder, name)
  const child = spawn(process.execPath, [join(root, 'dist', 'cli', 'main.mjs'), 'cloud', '--data', directory, '--json'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  await new Promise<void>((resolve, reject) => {
    child.once('exit', (code) => reject(new Error(`the cloud ended with code ${code}`)))
    child.stdout.on('data', (text: Buffer) => text.includes('"ready"') && resolve())
  })
  const readyMs = performance.now() - startedMs
  const connection = Connection.parse(JSON.parse(readFileSync(join(directory, 'connection.json'), 'utf8')))
  return {
    pid: child.pid!,
    connection,
    readyMs,
    async stop() {
      const ended = new Promise((resolve) => child.once('exit', resolve))
      child.kill('SIGTERM')
      await ended
    },
  }
}

const caOf = ({ connection }: Cloud) => readFileSync(connection.ca!, 'utf8')

async function credentials(cloud: Cloud, count: number) {
  const registry = new HubRegistry(cloud.connection.iotHub, caOf(cloud))
  const devices = await registry.ensureDevices(Array.from({ length: count }, (_, index) => `bench-${index}`))
  return devices.map(({ deviceId, key }) => ({
    clientId: deviceId,
    username: `${registry.hubHost}/${deviceId}/?api-version=2021-04-12`,
    password: sharedAccessSignature(`${registry.hubHost}/devices/${deviceId}`, key, Date.now() + 3_600_000),
  }))
}

const portOf = ({ connection }: Cloud) => Number(/HostName=[^:]+:(\d+)/.exec(connection.iotHub)![1])

async function startMosquitto(certificates: string, port: number): Promise<{ pid: number; stop(): void } | undefined> {
  const program = process.env.MOSQUITTO ?? 'mosquitto'
  if (spawnSync(program, ['-h']).error) return undefined
  const file = join(folder, 'mosquitto.conf')
  // Names of topics begin with `devices/`; nothing is stored, nobody subscribes.
  const lines = [
    `listener ${port} 127.0.0.1`,
    `certfile ${join(certificates, 'chain.pem')}`,
    `keyfile ${join(certificates, 'server.key')}`,
    'allow_anonymous true',
    'persistence false',
    'max_inflight_messages 0',
    'set_tcp_nodelay true',
    'user root',
  ]
  writeFileSync(
    join(certificates, 'chain.pem'),
    readFileSync(join(certificates, 'server.pem'), 'utf8') + readFileSync(join(certificates, 'ca.pem'), 'utf8'),
  )
  writeFileSync(file, `${lines.join('\n')}\n`)
  const child = spawn(program, ['-c', file], { stdio: 'ignore' })
  await delay(1_000)
  return child.exitCode === null ? { pid: child.pid!, stop: () => void child.kill('SIGTERM') } : undefined
}

async function ingest(load: Helper, pid: number): Promise<{ perCpuSecond: number; perSecond: number }> {
  const before = cpuSeconds(pid)
  load.tell({ messages: messagesPerRound })
  const { seconds } = await load.next<{ seconds: number }>()
  return { perCpuSecond: messagesPerRound / (cpuSeconds(pid) - before), perSecond: messagesPerRound / seconds }
}

const thousands = (value: number) => `${(value / 1000).toFixed(1)}k`

printHeader('Local cloud as a server')
const starts: number[] = []
for (let index = 0; index < 3; index++) {
  const trial = await startCloud(`start-${index}`)
  starts.push(trial.readyMs)
  await trial.stop()
  // The second start of a folder finds its keys and certificates there.
  const again = await startCloud(`start-${index}`)
  starts.push(again.readyMs)
  await again.stop()
}
printRow('start to ready, empty folder', `${Math.round(median([starts[0]!, starts[2]!, starts[4]!]))} ms`)
printRow('start to ready, folder used before', `${Math.round(median([starts[1]!, starts[3]!, starts[5]!]))} ms`)

const cloud = await startCloud('cloud')
try {
  const ca = caOf(cloud)
  const clients = await credentials(cloud, connections)
  const load = new Helper('./hub/mqtt-load.ts', { port: portOf(cloud), ca, window: 20, bodyBytes: 200, clients })
  await load.next()
  const mosquitto = await startMosquitto(dirname(cloud.connection.ca!), 18_883)
  const peer = mosquitto && new Helper('./hub/mqtt-load.ts', { port: 18_883, ca, window: 20, bodyBytes: 200, clients })
  await peer?.next()
  for (let round = 0; round < warmUpRounds; round++) {
    await ingest(load, cloud.pid)
    if (peer) await ingest(peer, mosquitto.pid)
  }
  const [ours, theirs] = [[] as number[], [] as number[]]
  const wall: number[] = []
  for (let round = 0; round < rounds; round++) {
    const own = await ingest(load, cloud.pid)
    ours.push(own.perCpuSecond)
    wall.push(own.perSecond)
    if (peer) theirs.push((await ingest(peer, mosquitto.pid)).perCpuSecond)
  }
  printRow('QoS 1 ingest over TLS, durable', `${thousands(median(ours))} messages a CPU second, ${thousands(median(wall))} a second`)
  if (peer) {
    printRow('  mosquitto, stores nothing', `${thousands(median(theirs))} messages a CPU second`)
    printRow('  ratio', (median(ours) / median(theirs)).toFixed(2))
  } else {
    printRow('  mosquitto', 'not found: no ratio')
  }
  await load.stop()
  await peer?.stop()
  mosquitto?.stop()

  const [server, client] = [[] as number[], [] as number[]]
  for (let round = 0; round < rounds; round++) {
    // A reader of its own each time: closing one in the midst of a stream is not what is measured.
    const consumer = new Helper('./hub/consumer.ts', { connectionString: cloud.connection.eventHub })
    await consumer.next()
    const before = cpuSeconds(cloud.pid)
    consumer.tell({ events: messagesPerRound })
    const { seen, cpuSeconds: used } = await consumer.next<{ seen: number; cpuSeconds: number }>()
    server.push(seen / (cpuSeconds(cloud.pid) - before))
    client.push(seen / used)
    await consumer.stop()
  }
  printRow('AMQP delivery, server', `${thousands(median(server))} events a CPU second`)
  printRow('  official client', `${thousands(median(client))} events a CPU second`)
  printRow('  ratio', (median(server) / median(client)).toFixed(2))
} finally {
  await cloud.stop()
}

const idle = await startCloud('idle')
try {
  await measureIdle({
    pids: () => [idle.pid],
    port: portOf(idle),
    ca: caOf(idle),
    directory: dirname(idle.connection.ca!),
    clients: await credentials(idle, idleConnections),
  })
} finally {
  await idle.stop()
  rmSync(folder, { recursive: true, force: true })
}
