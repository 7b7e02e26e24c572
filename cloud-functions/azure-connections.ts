/**
 * How the app reaches a service: by a connection string, as on a laptop, or by its managed identity, as on Azure. App
 * settings are named as the Functions host names them for its own triggers (`NAME`, or `NAME__…Uri`), so that one set
 * of settings serves both.
 */
import { ManagedIdentityCredential } from '@azure/identity'
import type { TokenCredential } from '@azure/identity'
import type { AppSettings } from './settings.ts'

export type StorageConnection = string | { readonly tablesUrl: string; readonly blobsUrl: string; readonly credential: TokenCredential }
export type EventHubsConnection = string | { readonly namespace: string; readonly credential: TokenCredential }
export type PubSubConnection = string | { readonly endpoint: string; readonly credential: TokenCredential }
export type HubConnection = string | { readonly host: string; readonly credential: TokenCredential }

/** The app's own identity; of several, the one that AZURE_CLIENT_ID names. */
function identity({ AZURE_CLIENT_ID: clientId }: AppSettings): TokenCredential {
  return clientId === undefined ? new ManagedIdentityCredential() : new ManagedIdentityCredential({ clientId })
}

export function storageConnection(app: AppSettings): StorageConnection {
  const { AzureWebJobsStorage, AzureWebJobsStorage__tableServiceUri: tablesUrl, AzureWebJobsStorage__blobServiceUri: blobsUrl } = app
  if (tablesUrl === undefined || blobsUrl === undefined) return AzureWebJobsStorage!
  return { tablesUrl, blobsUrl, credential: identity(app) }
}

export function eventHubsConnection(app: AppSettings): EventHubsConnection {
  const { EventHubConnection, EventHubConnection__fullyQualifiedNamespace: namespace } = app
  return namespace === undefined ? EventHubConnection! : { namespace, credential: identity(app) }
}

/** Undefined where pages poll. */
export function pubSubConnection(app: AppSettings): PubSubConnection | undefined {
  const { WEB_PUBSUB_CONNECTION, WEB_PUBSUB_CONNECTION__serviceUri: endpoint } = app
  return endpoint === undefined ? WEB_PUBSUB_CONNECTION : { endpoint, credential: identity(app) }
}

/** Undefined where the app may not speak to the hub. */
export function hubConnection(app: AppSettings): HubConnection | undefined {
  const { IOT_HUB_CONNECTION, IOT_HUB_CONNECTION__hostName: host } = app
  return host === undefined ? IOT_HUB_CONNECTION : { host, credential: identity(app) }
}
