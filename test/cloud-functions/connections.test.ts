/** Settings by connection string, as on a laptop, and by identity, as on Azure. */
import { describe, expect, test } from 'vitest'
import { eventHubsConnection, hubConnection, pubSubConnection, storageConnection } from '../../cloud-functions/azure-connections.ts'
import { openHubRest } from '../../cloud-functions/api/hub-rest.ts'
import { readSettings } from '../../cloud-functions/settings.ts'

const common = {
  EVENT_HUB_NAME: 'telemetry',
  REPLAY_CONSUMER_GROUP: 'replay',
  SERVICE_DEPARTMENT_URL: 'https://service.example.com/',
  SERVICE_DEPARTMENT_SECRET: 'whsec_c2VjcmV0',
  OPERATOR_TOKEN: 'sixteen letters!!',
}
const byString = readSettings({ ...common, AzureWebJobsStorage: 'storage', EventHubConnection: 'hub' })
const byIdentity = readSettings({
  ...common,
  AZURE_CLIENT_ID: '00000000-0000-4000-8000-000000000000',
  AzureWebJobsStorage__tableServiceUri: 'https://st.table.core.windows.net/',
  AzureWebJobsStorage__blobServiceUri: 'https://st.blob.core.windows.net/',
  EventHubConnection__fullyQualifiedNamespace: 'ns.servicebus.windows.net',
  WEB_PUBSUB_CONNECTION__serviceUri: 'https://wps.webpubsub.azure.com',
  IOT_HUB_CONNECTION__hostName: 'hub.azure-devices.net',
})

describe('connections', () => {
  test('by string are handed on as they are; what is not set is not there', () =>
    expect([storageConnection(byString), eventHubsConnection(byString), pubSubConnection(byString), hubConnection(byString)]).toEqual([
      'storage',
      'hub',
      undefined,
      undefined,
    ]))
  test('by identity name the service and bring a credential', () => {
    const credential = { getToken: expect.any(Function) as unknown }
    expect(storageConnection(byIdentity)).toMatchObject({ tablesUrl: 'https://st.table.core.windows.net/', credential })
    expect(eventHubsConnection(byIdentity)).toMatchObject({ namespace: 'ns.servicebus.windows.net', credential })
    expect(pubSubConnection(byIdentity)).toMatchObject({ endpoint: 'https://wps.webpubsub.azure.com', credential })
    expect(hubConnection(byIdentity)).toMatchObject({ host: 'hub.azure-devices.net', credential })
  })
  test('neither is a mistake that is named with the others', () => {
    expect(() => readSettings({ ...common, OPERATOR_TOKEN: 'short' })).toThrow(/OPERATOR_TOKEN/)
    expect(() => readSettings({ ...common, OPERATOR_TOKEN: 'short' })).toThrow(/AzureWebJobsStorage__tableServiceUri/)
    expect(() => readSettings(common)).toThrow(/EventHubConnection__fullyQualifiedNamespace/)
  })
  test('an identity that gets no token says which role it lacks', async () => {
    const hub = openHubRest({ host: 'hub.example.com', credential: { getToken: async () => null } }, Date.now)
    await expect(hub.twin('pump-1')).rejects.toThrow('IoT Hub Twin Contributor')
  })
})
