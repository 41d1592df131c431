/* Breaks one rule of Vulkan on purpose: shows that with_validation.sh hears the layer. */
#include <volk.h>

int main(void)
{
    VkInstance instance;
    VkPhysicalDevice physical;
    VkDevice device;
    VkBuffer buffer;
    uint32_t one = 1;
    float priority = 1;
    VkApplicationInfo application = {.sType = VK_STRUCTURE_TYPE_APPLICATION_INFO,
                                     .apiVersion = VK_API_VERSION_1_2};
    VkInstanceCreateInfo instance_info = {.sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO,
                                          .pApplicationInfo = &application};
    VkDeviceQueueCreateInfo queue = {
        .sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO, .queueCount = 1, .pQueuePriorities = &priority};
    VkDeviceCreateInfo device_info = {.sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO,
                                      .queueCreateInfoCount = 1,
                                      .pQueueCreateInfos = &queue};
    VkBufferCreateInfo buffer_info = {.sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO,
                                      .size = 0,
                                      .usage = VK_BUFFER_USAGE_STORAGE_BUFFER_BIT};
    if (volkInitialize() != VK_SUCCESS || vkCreateInstance(&instance_info, NULL, &instance) != VK_SUCCESS)
        return 77;
    volkLoadInstance(instance);
    (void)vkEnumeratePhysicalDevices(instance, &one, &physical);
    if (vkCreateDevice(physical, &device_info, NULL, &device) != VK_SUCCESS) return 77;
    volkLoadDevice(device);
    (void)vkCreateBuffer(device, &buffer_info, NULL, &buffer);
    return 0;
}
