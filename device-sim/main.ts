/** Entry of the device bundle: the agent that reads this computer, configured as the Azure samples are. */
import { randomUUID } from 'node:crypto'
import { z } from 'zod'
import { runSdkAgent } from './agents/sdk-agent.ts'
import { readAgentSettings } from './agent-settings.ts'
import type { AgentSettings } from './agent-settings.ts'
import type { DeviceCredentials } from './device-credentials.ts'
import { pause } from './pause.ts'
import { provisionDevice, ProvisioningError } from './provisioning.ts'
import { startServiceWatchdog } from './service-watchdog.ts'
import { ThisComputer } from './sensors/this-computer.ts'

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

const provisioningRetryMs = 10_000

/** Of a device that enrols by DPS, the hub that it is assigned to; asked until there is an answer. Undefined when stopped. */
async function credentialsOf(settings: AgentSettings, signal: AbortSignal): Promise<DeviceCredentials | undefined> {
  if (settings.IOTHUB_DEVICE_SECURITY_TYPE === 'connectionString') return settings.IOTHUB_DEVICE_CONNECTION_STRING
  const { IOTHUB_DEVICE_DPS_ENDPOINT: endpoint, IOTHUB_DEVICE_DPS_ID_SCOPE: idScope } = settings
  const device = { deviceId: settings.IOTHUB_DEVICE_DPS_DEVICE_ID, key: settings.IOTHUB_DEVICE_DPS_DEVICE_KEY }
  while (!signal.aborted) {
    try {
      return await provisionDevice({ endpoint, idScope }, device, settings.IOTHUB_CA_FILE)
    } catch (error) {
      if (!(error instanceof ProvisioningError) || !error.retryable) throw error
      log('error', { error: error.message })
      await pause(provisioningRetryMs, signal)
    }
  }
  return undefined
}

async function main(): Promise<void> {
  const settings = settingsOrExit()
  const { IOTHUB_CA_FILE: ca, AGENT_CONFIG_FILE: config } = settings
  const stopping = new AbortController()
  for (const event of ['SIGINT', 'SIGTERM', 'disconnect']) process.on(event, () => stopping.abort())
  stopping.signal.addEventListener('abort', () => setTimeout(() => process.exit(0), stopMsMax).unref())
  const credentials = await credentialsOf(settings, stopping.signal)
  if (!credentials) process.exit(0)
  const computer = new ThisComputer('/sys', config)
  const first = await computer.read(Date.now())
  log('started', { device: credentials.deviceId, signals: Object.keys(first) })
  // Started by a supervisor: it waits for this.
  process.send?.({ kind: 'ready', details: { device: credentials.deviceId } })
  let lastReadMs = Date.now()
  const isAlive = () => Date.now() - lastReadMs < 10 * settings.AGENT_INTERVAL_MS
  const watchdog = startServiceWatchdog(process.env, isAlive, (error) => log('error', { error: error.message }))
  const counts = await runSdkAgent({
    credentials: { ...credentials, ca },
    modelId: config.modelId,
    everyMs: settings.AGENT_INTERVAL_MS,
    directory: settings.AGENT_DATA,
    bufferBytesMax: settings.AGENT_BUFFER_BYTES_MAX,
    bootId: randomUUID().slice(0, 8),
    read: (nowMs) => computer.read(nowMs),
    signal: stopping.signal,
    onSample: ({ timeMs }) => (lastReadMs = timeMs),
    onError: (error) => log('error', { error: error.message }),
  })
  watchdog.stop()
  log('stopped', { ...counts })
  process.exit(0)
}

main().catch((error: unknown) => {
  log('failed', { error: error instanceof Error ? (error.stack ?? error.message) : String(error) })
  process.exit(1)
})
