/** The names that `azd` gave its resources: from the environment, or from where azd keeps them in this folder. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parseEnv } from 'node:util'
import { z } from 'zod'

const AzureEnvironment = z.object({
  AZURE_SUBSCRIPTION_ID: z.string().min(1),
  AZURE_RESOURCE_GROUP: z.string().min(1),
  IOT_HUB_NAME: z.string().min(1),
})
export type AzureEnvironment = z.infer<typeof AzureEnvironment>

const Config = z.looseObject({ defaultEnvironment: z.string().regex(/^[A-Za-z0-9-_().]+$/) })

/** @returns undefined when nothing names a deployment here @throws z.ZodError when only some of the names are there */
export async function readAzureEnvironment(
  environment: Readonly<Record<string, string | undefined>>,
  folder: string,
): Promise<AzureEnvironment | undefined> {
  if (environment.IOT_HUB_NAME !== undefined) return AzureEnvironment.parse(environment)
  try {
    const { defaultEnvironment } = Config.parse(JSON.parse(await readFile(join(folder, '.azure', 'config.json'), 'utf8')))
    const name = environment.AZURE_ENV_NAME ?? defaultEnvironment
    return AzureEnvironment.parse(parseEnv(await readFile(join(folder, '.azure', name, '.env'), 'utf8')))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}
