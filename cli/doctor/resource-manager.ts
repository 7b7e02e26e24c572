/** Azure Resource Manager, asked as whoever is signed in by `az login` or `azd auth login`. */
import { AzureCliCredential, AzureDeveloperCliCredential, ChainedTokenCredential, EnvironmentCredential } from '@azure/identity'
import { errorText } from '../../contract/error-text.ts'
import type { ResourceManager } from './azure-checks.ts'

const timeoutMs = 20_000

/** The resource manager did not answer, or refused. */
export class ResourceManagerError extends Error {
  override readonly name = 'ResourceManagerError'
}

/** @param endpoint of another Azure than the public one */
export function resourceManager(endpoint = 'https://management.azure.com'): ResourceManager {
  const credential = new ChainedTokenCredential(new EnvironmentCredential(), new AzureCliCredential(), new AzureDeveloperCliCredential())
  return async (path, apiVersion) => {
    const signedIn = await credential.getToken('https://management.azure.com/.default').catch((error: unknown) => {
      const [first = ''] = errorText(error).split('\n')
      throw new ResourceManagerError(`nobody is signed in: az login, or azd auth login (${first.trim()})`, { cause: error })
    })
    const response = await fetch(`${endpoint}${path}?api-version=${apiVersion}`, {
      headers: { authorization: `Bearer ${signedIn.token}` },
      signal: AbortSignal.timeout(timeoutMs),
    }).catch((error: unknown) => {
      throw new ResourceManagerError(`'${endpoint}' cannot be reached: ${errorText(error)}`, {
        cause: error,
      })
    })
    if (response.status === 404) return undefined
    const text = await response.text()
    if (!response.ok) throw new ResourceManagerError(`the resource manager answered ${response.status}: ${text.slice(0, 300)}`)
    return JSON.parse(text) as unknown
  }
}
