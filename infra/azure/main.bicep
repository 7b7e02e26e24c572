// Millwright on Azure: devices and gateways → IoT Hub → an own Event Hub → functions → tables → page.
// Every connection of the app is by managed identity; what it may do is in modules/roles.bicep.
targetScope = 'subscription'

@minLength(1)
@maxLength(40)
@description('Name of the azd environment; part of every name here.')
param environmentName string

@description('Where everything is. A region that has Flex Consumption.')
param location string

@allowed(['laptop', 'thousand', 'hundred-thousand'])
@description('How many devices it is for: a handful, 1,000 or 100,000.')
param size string = 'laptop'

@description('Address that takes work orders, as signed webhooks.')
param serviceDepartmentUrl string

@secure()
@description('Standard Webhooks secret, whsec_….')
param serviceDepartmentSecret string

@secure()
@minLength(16)
@description('Signs links in messages.')
param operatorToken string

@description('People who watch alerts at the same time.')
param operators int = 1

var token = toLower(uniqueString(subscription().id, environmentName, location))
var tags = { 'azd-env-name': environmentName, application: 'millwright' }

// What a size amounts to; docs/SCALE.md says why. SKUs of hub and event hub cannot be changed across tiers in place.
var sizes = {
  laptop: { hubSku: 'S1', hubUnits: 1, partitions: 4, throughputUnits: 1, throughputUnitsMax: 2, instancesMax: 40, instanceMemoryMb: 512, pubSubSku: 'Free_F1', pubSubUnits: 1, logsGbPerDayMax: 1 }
  thousand: { hubSku: 'S1', hubUnits: 1, partitions: 8, throughputUnits: 1, throughputUnitsMax: 4, instancesMax: 40, instanceMemoryMb: 512, pubSubSku: 'Standard_S1', pubSubUnits: 1, logsGbPerDayMax: 1 }
  'hundred-thousand': { hubSku: 'S2', hubUnits: 6, partitions: 32, throughputUnits: 2, throughputUnitsMax: 20, instancesMax: 100, instanceMemoryMb: 2048, pubSubSku: 'Standard_S1', pubSubUnits: 1, logsGbPerDayMax: 5 }
}
var chosen = sizes[size]

resource group 'Microsoft.Resources/resourceGroups@2024-03-01' = {
  name: 'rg-${environmentName}'
  location: location
  tags: tags
}

module monitoring 'modules/monitoring.bicep' = {
  name: 'monitoring'
  scope: group
  params: { token: token, location: location, tags: tags, logsGbPerDayMax: chosen.logsGbPerDayMax }
}

module identity 'modules/identity.bicep' = {
  name: 'identity'
  scope: group
  params: { token: token, location: location, tags: tags }
}

module storage 'modules/storage.bicep' = {
  name: 'storage'
  scope: group
  params: { token: token, location: location, tags: tags }
}

module eventHubs 'modules/event-hubs.bicep' = {
  name: 'event-hubs'
  scope: group
  params: {
    token: token
    location: location
    tags: tags
    partitions: chosen.partitions
    throughputUnits: chosen.throughputUnits
    throughputUnitsMax: chosen.throughputUnitsMax
  }
}

module iotHub 'modules/iot-hub.bicep' = {
  name: 'iot-hub'
  scope: group
  params: {
    token: token
    location: location
    tags: tags
    sku: chosen.hubSku
    units: chosen.hubUnits
    eventHubNamespace: eventHubs.outputs.namespaceName
    eventHubName: eventHubs.outputs.eventHubName
  }
}

module pubSub 'modules/web-pubsub.bicep' = {
  name: 'web-pubsub'
  scope: group
  params: { token: token, location: location, tags: tags, sku: chosen.pubSubSku, units: chosen.pubSubUnits }
}

module vault 'modules/key-vault.bicep' = {
  name: 'key-vault'
  scope: group
  params: {
    token: token
    location: location
    tags: tags
    serviceDepartmentSecret: serviceDepartmentSecret
    operatorToken: operatorToken
  }
}

module roles 'modules/roles.bicep' = {
  name: 'roles'
  scope: group
  params: {
    principalId: identity.outputs.principalId
    storageName: storage.outputs.accountName
    eventHubNamespace: eventHubs.outputs.namespaceName
    iotHubName: iotHub.outputs.hubName
    pubSubName: pubSub.outputs.name
    vaultName: vault.outputs.name
    insightsName: monitoring.outputs.insightsName
  }
}

module page 'modules/page.bicep' = {
  name: 'page'
  scope: group
  params: { token: token, location: location, tags: tags }
}

module functions 'modules/functions.bicep' = {
  name: 'functions'
  scope: group
  dependsOn: [roles]
  params: {
    token: token
    location: location
    tags: tags
    identityId: identity.outputs.identityId
    clientId: identity.outputs.clientId
    storageName: storage.outputs.accountName
    deploymentContainer: storage.outputs.deploymentContainer
    eventHubsHost: eventHubs.outputs.hostName
    eventHubName: eventHubs.outputs.eventHubName
    triggerGroup: eventHubs.outputs.triggerGroup
    replayGroup: eventHubs.outputs.replayGroup
    iotHubHost: iotHub.outputs.hostName
    pubSubEndpoint: pubSub.outputs.endpoint
    vaultUri: vault.outputs.uri
    insightsConnection: monitoring.outputs.insightsConnection
    pageUrl: page.outputs.url
    serviceDepartmentUrl: serviceDepartmentUrl
    operators: operators
    instancesMax: chosen.instancesMax
    instanceMemoryMb: chosen.instanceMemoryMb
  }
}

module link 'modules/page-link.bicep' = {
  name: 'page-link'
  scope: group
  params: { location: location, pageName: page.outputs.name, functionsId: functions.outputs.functionsId }
}

output AZURE_RESOURCE_GROUP string = group.name
output IOT_HUB_NAME string = iotHub.outputs.hubName
output DPS_NAME string = iotHub.outputs.dpsName
output DPS_ID_SCOPE string = iotHub.outputs.idScope
output PAGE_URL string = page.outputs.url
