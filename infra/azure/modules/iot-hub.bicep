// The hub, its provisioning service, and the route that brings telemetry to our own Event Hub by the hub's identity.
param token string
param location string
param tags object
param sku string
param units int
param eventHubNamespace string
param eventHubName string

var eventHubsDataSender = '2b629674-e913-4c01-ae53-ef4638d8f975'

resource namespace 'Microsoft.EventHub/namespaces@2024-01-01' existing = {
  name: eventHubNamespace
}

// An identity of its own, so that it may send before the hub that uses it is there.
resource sender 'Microsoft.ManagedIdentity/userAssignedIdentities@2023-01-31' = {
  name: 'id-hub-${token}'
  location: location
  tags: tags
}

resource maySend 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(namespace.id, sender.id, eventHubsDataSender)
  scope: namespace
  properties: {
    principalId: sender.properties.principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', eventHubsDataSender)
  }
}

resource hub 'Microsoft.Devices/IotHubs@2023-06-30' = {
  name: 'iot-${token}'
  location: location
  tags: tags
  sku: { name: sku, capacity: units }
  identity: { type: 'UserAssigned', userAssignedIdentities: { '${sender.id}': {} } }
  dependsOn: [maySend]
  properties: {
    minTlsVersion: '1.2'
    cloudToDevice: { maxDeliveryCount: 10, defaultTtlAsIso8601: 'PT1H' }
    routing: {
      endpoints: {
        eventHubs: [
          {
            name: 'telemetry'
            authenticationType: 'identityBased'
            identity: { userAssignedIdentity: sender.id }
            endpointUri: 'sb://${eventHubNamespace}.servicebus.windows.net'
            entityPath: eventHubName
          }
        ]
      }
      routes: [
        { name: 'telemetry', source: 'DeviceMessages', condition: 'true', endpointNames: ['telemetry'], isEnabled: true }
      ]
      // What no route takes goes to the built-in endpoint, where it can be looked at.
      fallbackRoute: { name: 'fallback', source: 'DeviceMessages', condition: 'true', endpointNames: ['events'], isEnabled: true }
    }
  }
}

resource dps 'Microsoft.Devices/provisioningServices@2022-12-12' = {
  name: 'dps-${token}'
  location: location
  tags: tags
  sku: { name: 'S1', capacity: 1 }
  properties: {
    allocationPolicy: 'Hashed'
    // DPS links a hub by key; there is no other way yet.
    iotHubs: [
      {
        location: location
        connectionString: 'HostName=${hub.properties.hostName};SharedAccessKeyName=iothubowner;SharedAccessKey=${hub.listkeys().value[0].primaryKey}'
      }
    ]
  }
}

output hubName string = hub.name
output hostName string = hub.properties.hostName
output dpsName string = dps.name
output idScope string = dps.properties.idScope
