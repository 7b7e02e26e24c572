/** Entry of the device bundle: the agent that reads this computer, configured as the Azure samples are. */
import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { z } from 'zod'
import { runSdkAgent } from './agents/sdk-agent.ts'
import { deviceIdOf, readAgentSettings } from './agent-settings.ts'
import type { AgentSettings } from './agent-settings.ts'
import { credentialsSource } from './credentials-source.ts'
import { startServiceWatchdog } from './service-watchdog.ts'
import { ThisComputer } from './sensors/this-computer.ts'
import { ReleaseFolder } from './updates/release-folder.ts'
import { isRelease, startRelease } from './updates/start-release.ts'
import { Updater } from './updates/updater.ts'

const log = (event: string, fields: Record<string, unknown>) =>
  process.stdout.write(`${JSON.stringify({ time: new Date().toISOString(), part: 'agent', event, ...fields })}\n`)

/** What is not acknowledged by then is not waited for. */
const stopMsMax = 3_000

function settingsOrExit(): AgentSettings {
  try {
    return readAgentSettings(process.env)
  } catch (error) {
    if (!(error instanceof z.ZodError)) throw error
    process.stderr.write(`cannot start the agent, its settings are wrong:\n${z.prettifyError(error)}\n`)
    process.exit(2)
  }
}

/** The service manager starts the process again on this; 75 is "try again later" (sysexits). */
const restartCode = 75

async function main(): Promise<void> {
  const settings = settingsOrExit()
  const { IOTHUB_CA_FILE: ca, AGENT_CONFIG_FILE: config, AGENT_UPDATE_KEY_FILE: updateKey } = settings
  const releases = updateKey && new ReleaseFolder(join(settings.AGENT_DATA, 'releases'), updateKey, ca)
  if (releases && !isRelease(process.env) && startRelease(releases, process.env, settings.AGENT_TRIAL_S * 1000, log)) return
  const stopping = new AbortController()
  let exitCode = 0
  for (const event of ['SIGINT', 'SIGTERM', 'disconnect']) process.on(event, () => stopping.abort())
  stopping.signal.addEventListener('abort', () => setTimeout(() => process.exit(exitCode), stopMsMax).unref())
  const updater = new Updater({
    folder: releases,
    version: __MILLWRIGHT_VERSION__,
    restart() {
      exitCode = restartCode
      stopping.abort()
    },
    signal: stopping.signal,
  })
  const deviceId = deviceIdOf(settings)
  const computer = new ThisComputer('/sys', config)
  const first = await computer.readAll(Date.now)
  log('started', { device: deviceId, version: __MILLWRIGHT_VERSION__, signals: Object.keys(first) })
  // Started by a supervisor: it waits for this.
  process.send?.({ kind: 'ready', details: { device: deviceId } })
  let lastReadMs = Date.now()
  let intervalMs = settings.AGENT_INTERVAL_MS
  const isAlive = () => Date.now() - lastReadMs < 10 * intervalMs
  const watchdog = startServiceWatchdog(process.env, isAlive, (error) => log('error', { error: error.message }))
  const counts = await runSdkAgent({
    credentials: credentialsSource(settings),
    updater,
    modelId: config.modelId,
    everyMs: intervalMs,
    directory: settings.AGENT_DATA,
    bufferBytesMax: settings.AGENT_BUFFER_BYTES_MAX,
    bootId: randomUUID().slice(0, 8),
    read: (nowMs) => computer.read(nowMs),
    signal: stopping.signal,
    onSample: ({ timeMs }) => (lastReadMs = timeMs),
    onInterval: (everyMs) => (intervalMs = everyMs),
    onError: (error) => log('error', { error: error.message }),
  })
  watchdog.stop()
  log('stopped', { ...counts })
  process.exit(exitCode)
}

main().catch((error: unknown) => {
  log('failed', { error: error instanceof Error ? (error.stack ?? error.message) : String(error) })
  process.exit(1)
})
