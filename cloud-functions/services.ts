/** What the functions of one worker share: settings and clients, made when first needed, kept while the worker lives. */
import type { AlertDesk } from './alerting/alert-desk.ts'
import { Announcements } from './alerting/announcements.ts'
import type { Channel } from './alerting/channels/channel.ts'
import { mailChannel } from './alerting/channels/mail.ts'
import { pagerDutyChannel } from './alerting/channels/pagerduty.ts'
import { teamsChannel } from './alerting/channels/teams.ts'
import { webhookChannel } from './alerting/channels/webhook.ts'
import { toldForMs } from './alerting/notification-policy.ts'
import { placeFinder } from './alerting/topology.ts'
import { eventHubsConnection, hubConnection, pubSubConnection, storageConnection } from './azure-connections.ts'
import { openHubRest } from './api/hub-rest.ts'
import type { HubRest } from './api/hub-rest.ts'
import { alertItem } from './api/views.ts'
import type { PlaceOf } from './api/views.ts'
import { eventHubLogEnds } from './hot-path/log-ends.ts'
import type { LogOptions } from './hot-path/log-consumer.ts'
import type { LogEnds, LogPosition } from './hot-path/log-ends.ts'
import { openLiveChannel } from './live/live-channel.ts'
import type { LiveChannel } from './live/live-channel.ts'
import { readSettings } from './settings.ts'
import type { AppSettings } from './settings.ts'
import { openFiles } from './store/files.ts'
import type { Files } from './store/files.ts'
import { appliedMessages } from './store/hot-path-store.ts'
import { readTopology } from './store/plant-store.ts'
import { openTables } from './store/tables.ts'
import type { Tables } from './store/tables.ts'

let settings: AppSettings | undefined
let tables: Promise<Tables> | undefined
let files: Promise<Files> | undefined
let live: LiveChannel | undefined
let hub: HubRest | undefined
let logEnds: LogEnds | undefined
let places: { readonly readMs: number; readonly placeOf: PlaceOf } | undefined
let desk: Promise<AlertDesk> | undefined

export function appSettings(): AppSettings {
  // Read late: on a cold start Azure replaces the environment before the first invocation.
  return (settings ??= readSettings(process.env))
}

export function appTables(): Promise<Tables> {
  tables ??= openTables(storageConnection(appSettings())).catch((error: unknown) => {
    tables = undefined
    throw error
  })
  return tables
}

export function appFiles(): Promise<Files> {
  files ??= openFiles(storageConnection(appSettings())).catch((error: unknown) => {
    files = undefined
    throw error
  })
  return files
}

/** Undefined where no live channel is set up. */
export function appLive(): LiveChannel | undefined {
  const connection = pubSubConnection(appSettings())
  return connection === undefined ? undefined : (live ??= openLiveChannel(connection, (text) => process.emitWarning(text)))
}

/** How far the log goes, and how far it has been applied. */
export async function appLogPosition(): Promise<LogPosition> {
  logEnds ??= eventHubLogEnds(appLog())
  const [ends, applied] = await Promise.all([logEnds.read(), appliedMessages(await appTables())])
  return { ends, applied }
}

/** The log as it is read again, beside the trigger. */
export function appLog(): LogOptions {
  const { EVENT_HUB_NAME, REPLAY_CONSUMER_GROUP } = appSettings()
  return { connection: eventHubsConnection(appSettings()), eventHubName: EVENT_HUB_NAME, consumerGroup: REPLAY_CONSUMER_GROUP }
}

/** Undefined where the app may not speak to the hub. */
export function appHub(): HubRest | undefined {
  const connection = hubConnection(appSettings())
  return connection === undefined ? undefined : (hub ??= openHubRest(connection, Date.now))
}

/** How old the plant's plan may be. */
const placesMs = 5_000

export async function appPlaces(nowMs: number): Promise<PlaceOf> {
  if (!places || nowMs - places.readMs > placesMs)
    places = { readMs: nowMs, placeOf: placeFinder((await readTopology(await appTables())) ?? { places: [] }) }
  return places.placeOf
}

export function forgetPlaces(): void {
  places = undefined
}

export function appDesk(): Promise<AlertDesk> {
  desk ??= openDesk().catch((error: unknown) => {
    desk = undefined
    throw error
  })
  return desk
}

async function openDesk(): Promise<AlertDesk> {
  const { NOTIFICATION_POLICY: policy, PUBLIC_URL: publicUrl, OPERATOR_TOKEN: linkSecret } = appSettings()
  const opened = await appTables()
  return {
    tables: opened,
    policy,
    announcements: new Announcements(opened, toldForMs(policy)),
    channels: new Map(channelsFrom(appSettings()).map((channel) => [channel.name, channel])),
    publicUrl,
    linkSecret,
    random: Math.random,
    publish: (alert) => {
      const channel = appLive()
      if (!channel) return
      const nowMs = Date.now()
      appPlaces(nowMs).then(
        (placeOf) => channel.tellAlert(alertItem(alert, placeOf, nowMs)),
        // Pages ask again.
        () => {},
      )
    },
  }
}

function channelsFrom(app: AppSettings): Channel[] {
  const guard = { allowsInternal: app.ALLOW_INTERNAL_TARGETS === 'true' }
  const { SMTP_URL, MAIL_FROM, MAIL_TO, TEAMS_WEBHOOK_URL, PAGERDUTY_ROUTING_KEY, PAGERDUTY_URL } = app
  return [
    webhookChannel(app.SERVICE_DEPARTMENT_URL, app.SERVICE_DEPARTMENT_SECRET, guard),
    ...(SMTP_URL && MAIL_FROM && MAIL_TO ? [mailChannel({ smtpUrl: SMTP_URL, from: MAIL_FROM, to: MAIL_TO })] : []),
    ...(TEAMS_WEBHOOK_URL ? [teamsChannel(TEAMS_WEBHOOK_URL, guard)] : []),
    ...(PAGERDUTY_ROUTING_KEY ? [pagerDutyChannel(PAGERDUTY_URL, PAGERDUTY_ROUTING_KEY, guard)] : []),
  ]
}
