/** The app's settings, read once from the environment; every mistake is reported together. */
import { z } from 'zod'
import { NotificationPolicy } from './alerting/notification-policy.ts'

const json = <Schema extends z.ZodType>(schema: Schema) =>
  z
    .string()
    .transform((text, context): unknown => {
      try {
        return JSON.parse(text)
      } catch {
        context.addIssue({ code: 'custom', message: 'expected JSON' })
        return z.NEVER
      }
    })
    .pipe(schema)

/** Asked even when other settings are wrong: every mistake is named at once. */
const always = () => true

const webAddress = z.url({ protocol: /^https?$/ })

const AppSettings = z
  .object({
    /** Storage account of the tables and queues. The Functions host uses it for its checkpoints too. */
    AzureWebJobsStorage: z.string().min(1).optional(),
    AzureWebJobsStorage__tableServiceUri: z.url().optional(),
    AzureWebJobsStorage__blobServiceUri: z.url().optional(),
    /** Event Hub-compatible endpoint of the IoT Hub. */
    EventHubConnection: z.string().min(1).optional(),
    EventHubConnection__fullyQualifiedNamespace: z.string().min(1).optional(),
    EVENT_HUB_NAME: z.string().min(1),
    /** Consumer group for reading the log again; not the trigger's. */
    REPLAY_CONSUMER_GROUP: z.string().min(1),
    /** Service connection string of the IoT Hub: twins are shown, and set-aside messages sent again, where it is set. */
    IOT_HUB_CONNECTION: z.string().min(1).optional(),
    IOT_HUB_CONNECTION__hostName: z.string().min(1).optional(),
    /** Open pages are told live where it is set; they poll elsewhere. */
    WEB_PUBSUB_CONNECTION: z.string().min(1).optional(),
    WEB_PUBSUB_CONNECTION__serviceUri: z.url().optional(),
    /** Of several identities that the app has, the one it uses. */
    AZURE_CLIENT_ID: z.uuid().optional(),

    SERVICE_DEPARTMENT_URL: webAddress,
    /** `whsec_…`, base64, as Standard Webhooks writes it. Signs what goes out and proves what comes in. */
    SERVICE_DEPARTMENT_SECRET: z.string().startsWith('whsec_'),
    /** `smtp://user:password@host:587`; with MAIL_FROM and MAIL_TO, comma-separated. */
    SMTP_URL: z.url({ protocol: /^smtps?$/ }).optional(),
    MAIL_FROM: z.email().optional(),
    MAIL_TO: z
      .string()
      .transform((text) => text.split(',').map((address) => address.trim()))
      .pipe(z.array(z.email()).min(1))
      .optional(),
    TEAMS_WEBHOOK_URL: webAddress.optional(),
    PAGERDUTY_ROUTING_KEY: z.string().min(1).optional(),
    PAGERDUTY_URL: webAddress.default('https://events.pagerduty.com/v2/enqueue'),
    NOTIFICATION_POLICY: json(NotificationPolicy).default(NotificationPolicy.parse({})),
    /** Of raw readings and their minutes, in the tables; the archive keeps all. */
    READINGS_KEPT_DAYS: z.coerce.number().int().min(1).max(3_650).default(90),
    /** Messages may go to addresses inside our own network. */
    ALLOW_INTERNAL_TARGETS: z.enum(['true', 'false']).default('false'),

    /** Address of the page, for links in messages. */
    PUBLIC_URL: webAddress.transform((url) => url.replace(/\/+$/, '')).default('http://127.0.0.1:7300'),
    /** Whoever holds it may do everything, on a laptop; signs links and sessions. */
    OPERATOR_TOKEN: z.string().min(16),
    /** Set only where the platform signs people in and strips `x-ms-client-principal` from what comes from outside. */
    PLATFORM_SIGN_IN: z.enum(['none', 'static-web-apps', 'app-service']).default('none'),
    /** People who watch at the same time: what alarm rates are divided by. */
    OPERATORS: z.coerce.number().int().min(1).max(1_000).default(1),
  })
  .refine(({ SMTP_URL, MAIL_FROM, MAIL_TO }) => SMTP_URL === undefined || (MAIL_FROM !== undefined && MAIL_TO !== undefined), {
    message: 'mail needs MAIL_FROM and MAIL_TO, too',
    path: ['SMTP_URL'],
  })
  .refine(
    (app) =>
      app.AzureWebJobsStorage !== undefined ||
      (app.AzureWebJobsStorage__tableServiceUri !== undefined && app.AzureWebJobsStorage__blobServiceUri !== undefined),
    {
      message: 'give a connection string, or AzureWebJobsStorage__tableServiceUri and AzureWebJobsStorage__blobServiceUri',
      path: ['AzureWebJobsStorage'],
      when: always,
    },
  )
  .refine((app) => app.EventHubConnection !== undefined || app.EventHubConnection__fullyQualifiedNamespace !== undefined, {
    message: 'give a connection string, or EventHubConnection__fullyQualifiedNamespace',
    path: ['EventHubConnection'],
    when: always,
  })
export type AppSettings = z.infer<typeof AppSettings>

export class WrongSettingsError extends Error {
  override readonly name = 'WrongSettingsError'
}

export function readSettings(environment: Record<string, string | undefined>): AppSettings {
  // Deployment tools write settings that are not wanted as empty ones.
  const given = Object.fromEntries(Object.entries(environment).filter(([, value]) => value !== ''))
  const result = AppSettings.safeParse(given)
  if (!result.success)
    throw new WrongSettingsError(`cannot start cloud-functions, its settings are wrong:\n${z.prettifyError(result.error)}`)
  return result.data
}
